/* no_curl.c - what a static HDF5 wants of libcurl, for its driver of files in S3. Nothing opens
 * that driver, and the process that reads HDF5 may open no socket (h5_jail.c): there is no
 * network, and so these fail. Linked into the eet-convert of a wheel alone. */
#include <stddef.h>

enum { FAILED = 2 }; /* CURLE_FAILED_INIT */

int curl_global_init(long flags);
void curl_global_cleanup(void);
void *curl_easy_init(void);
int curl_easy_setopt(void *handle, int option, ...);
int curl_easy_perform(void *handle);
void curl_easy_cleanup(void *handle);
void *curl_slist_append(void *list, const char *text);
void curl_slist_free_all(void *list);

int curl_global_init(long flags) {
    (void)flags;
    return FAILED;
}

void curl_global_cleanup(void) {}

void *curl_easy_init(void) {
    return NULL;
}

int curl_easy_setopt(void *handle, int option, ...) {
    (void)handle;
    (void)option;
    return FAILED;
}

int curl_easy_perform(void *handle) {
    (void)handle;
    return FAILED;
}

void curl_easy_cleanup(void *handle) {
    (void)handle;
}

void *curl_slist_append(void *list, const char *text) {
    (void)list;
    (void)text;
    return NULL;
}

void curl_slist_free_all(void *list) {
    (void)list;
}
