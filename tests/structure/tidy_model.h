/* tidy_model.h - what clang's analyzer cannot see from one file: eet_fail() returns the
 * status that it is given, and eet_fail_errno() EET_E_IO. tidy.sh includes it first. */
#ifndef EET_TESTS_STRUCTURE_TIDY_MODEL_H
#define EET_TESTS_STRUCTURE_TIDY_MODEL_H

#include "format/types.h"

#define eet_fail(err, status, ...) ((void)eet_fail(err, status, __VA_ARGS__), (status))
#define eet_fail_errno(...)        ((void)eet_fail_errno(__VA_ARGS__), EET_E_IO)

#endif
