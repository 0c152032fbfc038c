# SPDX-License-Identifier: MIT
# ck::ck, Concurrency Kit.
find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
    pkg_check_modules(PC_CK QUIET ck)
endif()
find_path(CK_INCLUDE_DIR ck_pr.h HINTS ${PC_CK_INCLUDE_DIRS})
find_library(CK_LIBRARY ck HINTS ${PC_CK_LIBRARY_DIRS})
mark_as_advanced(CK_INCLUDE_DIR CK_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ck
    REQUIRED_VARS CK_LIBRARY CK_INCLUDE_DIR
    VERSION_VAR PC_CK_VERSION)

if(ck_FOUND AND NOT TARGET ck::ck)
    add_library(ck::ck UNKNOWN IMPORTED)
    set_target_properties(ck::ck PROPERTIES
        IMPORTED_LOCATION "${CK_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${CK_INCLUDE_DIR}")
endif()
