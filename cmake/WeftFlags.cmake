# SPDX-License-Identifier: MIT
# How weft's own files are compiled. Nothing of this reaches a consumer:
#   w_warnings    what every C file here is held to
#   w_sanitize    compile and link flags of the sanitizer chosen
#   w_link_flags  the sanitizer's link flags alone
#   w_flags       all of it, the hardening too (WeftHardening.cmake), and what
#                 code that sees src/ needs

function(weft_sources out dir)
    file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${dir}/*.c)
    file(GLOB assembly CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${dir}/*.S)
    if(NOT WEFT_SANITIZE STREQUAL "thread")
        list(FILTER found EXCLUDE REGEX "/tsan_volatile\\.c$")
    endif()
    if(assembly)
        enable_language(ASM)
    endif()
    set(${out} ${found} ${assembly} PARENT_SCOPE)
endfunction()

add_library(w_warnings INTERFACE)
target_compile_options(w_warnings INTERFACE -Wall -Wextra -Wshadow -Wvla
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
    $<$<BOOL:${WEFT_WERROR}>:-Werror>)

add_library(w_sanitize INTERFACE)
add_library(w_link_flags INTERFACE)
if(WEFT_SANITIZE STREQUAL "address")
    set(sanitizer -fsanitize=address,undefined -fno-sanitize-recover=all)
    target_compile_options(w_sanitize INTERFACE ${sanitizer} -O1)
    target_link_options(w_link_flags INTERFACE ${sanitizer})
elseif(WEFT_SANITIZE STREQUAL "thread")
    # ck's plain loads and stores are volatile ones; the compiler reports each
    # to src/base/tsan_volatile.c, as base/tsan_ck.h does with ck's fences, and
    # there they get the orders that ck relies on. ck's read-modify-writes
    # become builtins, which the sanitizer knows.
    target_compile_definitions(w_sanitize INTERFACE CK_USE_CC_BUILTINS=1)
    target_compile_options(w_sanitize INTERFACE -fsanitize=thread -O1
        "SHELL:-include ${PROJECT_SOURCE_DIR}/src/base/tsan_ck.h")
    if(CMAKE_C_COMPILER_ID MATCHES "Clang")
        target_compile_options(w_sanitize INTERFACE
            "SHELL:-mllvm -tsan-distinguish-volatile=1")
    else()
        target_compile_options(w_sanitize INTERFACE
            --param=tsan-distinguish-volatile=1)
    endif()
    target_link_options(w_link_flags INTERFACE -fsanitize=thread)
elseif(WEFT_SANITIZE)
    message(FATAL_ERROR "WEFT_SANITIZE is '${WEFT_SANITIZE}', not address or thread")
endif()
target_link_libraries(w_sanitize INTERFACE w_link_flags)

add_library(w_flags INTERFACE)
target_link_libraries(w_flags INTERFACE
    w_warnings w_sanitize w_hardening w_hard_link Threads::Threads)
target_include_directories(w_flags INTERFACE
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_features(w_flags INTERFACE c_std_11)
# Empty, as "#define _GNU_SOURCE" makes it: a file may say so itself too.
target_compile_definitions(w_flags INTERFACE _GNU_SOURCE=
    $<$<BOOL:${WEFT_STRESS}>:W_STRESS=1>
    $<$<BOOL:${WEFT_FAULTS}>:W_FAULTS=1>
    $<$<BOOL:${WEFT_VALGRIND}>:W_VALGRIND=1>)
# gnu11 by name: CMAKE_C_EXTENSIONS belongs to whoever embeds us.
target_compile_options(w_flags INTERFACE
    $<$<COMPILE_LANGUAGE:C>:-std=gnu11> -fno-common -fvisibility=hidden -fPIC
    # Backtraces of a stalled task walk frame pointers.
    -fno-omit-frame-pointer
    $<$<CONFIG:Release>:-g>)
# The context switch pushes below the stack pointer of the function that it is
# inlined into.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    target_compile_options(w_flags INTERFACE -mno-red-zone)
endif()
