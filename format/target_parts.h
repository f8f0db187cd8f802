/* target_parts.h - shared by the files of a target. */
#ifndef EET_FORMAT_TARGET_PARTS_H
#define EET_FORMAT_TARGET_PARTS_H

#include <stdbool.h>

enum { EET_TARGET_NAME_KEPT = 200 }; /* bytes of a target's name in that of its temporary file */

/* Removes temporary files of `name` that nobody writes any more; no promise. */
void eet_target_clear_stale(int folder_fd, const char *name);
/* Holds a temporary file, so that nobody takes it for abandoned; false: somebody just did. */
bool eet_target_hold(int fd);

#endif
