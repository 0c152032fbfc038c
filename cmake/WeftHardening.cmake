# SPDX-License-Identifier: MIT
# What makes a mistake harder to use, where it costs the scheduler nothing.
# docs/reliability.md has the figures and the reasons.
#   w_hardening   every file here and every program: part of w_flags
#   w_canaries    more stack canaries: for code that reads bytes from outside
#   w_hard_link   libweft.so and the programs
# A sanitizer sees more than all of it, and would see less with it.
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
include(CheckLinkerFlag)
include(CMakePushCheckState)

add_library(w_hardening INTERFACE)
add_library(w_canaries INTERFACE)
add_library(w_hard_link INTERFACE)

function(weft_harden target flag)
    string(MAKE_C_IDENTIFIER "WEFT_HAS${flag}" has)
    check_c_compiler_flag(${flag} ${has})
    if(${has})
        target_compile_options(${target} INTERFACE ${flag})
    endif()
endfunction()

# In every build. The switch keeps no shadow stack, so that no object of ours
# may say that it bears one: the linker then leaves the mark out of what holds
# ours, and the loader leaves shadow stacks off. Its landing pads do stand
# where indirect branches go, and are marked if this compiler marks code.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    check_c_source_compiles("
        #if !defined(__CET__) || !(__CET__ & 1)
        #error no mark
        #endif
        int main(void) { return 0; }" WEFT_COMPILER_MARKS_BRANCHES)
    if(WEFT_COMPILER_MARKS_BRANCHES)
        weft_harden(w_hardening -fcf-protection=branch)
    else()
        weft_harden(w_hardening -fcf-protection=none)
    endif()
endif()

if(NOT WEFT_HARDENING OR WEFT_SANITIZE)
    return()
endif()

# Level 3 where the C library and the compiler have it. It needs an optimizer,
# and is taken back first, as some compilers bring a level of their own.
cmake_push_check_state()
set(CMAKE_REQUIRED_FLAGS "-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
check_c_source_compiles("
    #include <string.h>
    #if !defined(__USE_FORTIFY_LEVEL) || __USE_FORTIFY_LEVEL < 3
    #error less
    #endif
    int main(void) { return 0; }" WEFT_HAS_FORTIFY_3)
cmake_pop_check_state()
set(level 2)
if(WEFT_HAS_FORTIFY_3)
    set(level 3)
endif()
target_compile_options(w_hardening INTERFACE
    "$<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:SHELL:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${level}>")

# Frames with a buffer of bytes. -strong, which also guards each frame whose
# address is taken, is up to 5 % more instructions where tasks wait, as what
# waits stands in its own frame.
weft_harden(w_hardening -fstack-protector)
weft_harden(w_canaries -fstack-protector-strong)
# Large frames touch each page, so that none steps over a stack's guard.
weft_harden(w_hardening -fstack-clash-protection)
if(WEFT_HAS_fstack_clash_protection)
    target_compile_definitions(w_hardening INTERFACE W_PROBED_FRAMES=1)
endif()

foreach(option IN ITEMS relro now noexecstack)
    check_linker_flag(C "LINKER:-z,${option}" WEFT_HAS_Z_${option})
    if(WEFT_HAS_Z_${option})
        target_link_options(w_hard_link INTERFACE "LINKER:-z,${option}")
    endif()
endforeach()
# All code here is compiled with -fPIC.
check_linker_flag(C -pie WEFT_HAS_PIE)
if(WEFT_HAS_PIE)
    target_link_options(w_hard_link INTERFACE
        $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
endif()
