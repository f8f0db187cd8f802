/* h5_wire.c - records through a pipe. */
#include "converter/h5_wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) {
    struct timespec at = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

void eet_h5_stream_begin(eet_h5_stream *stream, int fd, int32_t milliseconds) {
    *stream = (eet_h5_stream){.fd = fd, .deadline = now() + milliseconds};
}

static eet_status garbled(eet_error *err) {
    return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                    "what the process that parses HDF5 says makes no sense");
}

/* Waits until something can be read. */
static eet_status wait_for(const eet_h5_stream *stream, eet_error *err) {
    for (;;) {
        const int64_t left = stream->deadline - now();
        struct pollfd one = {.fd = stream->fd, .events = POLLIN};
        const int ready = left > 0 ? poll(&one, 1, (int)left) : 0;

        if (ready > 0) {
            return EET_OK;
        }
        if (ready == 0) {
            return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                            "parsing the HDF5 file takes too long; it may be made to");
        }
        if (errno != EINTR) {
            return eet_fail_errno(err, errno, "the process that parses HDF5 cannot be heard");
        }
    }
}

static eet_status take(const eet_h5_stream *stream, void *data, size_t bytes, eet_error *err) {
    eet_status status = EET_OK;
    size_t done = 0;

    while (status == EET_OK && done < bytes) {
        status = wait_for(stream, err);
        const ssize_t got =
            status == EET_OK ? read(stream->fd, (char *)data + done, bytes - done) : 0;

        if (status == EET_OK && got == 0) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "the HDF5 library broke off while it parsed the file");
        }
        if (got < 0 && errno != EINTR) {
            return eet_fail_errno(err, errno, "the process that parses HDF5 cannot be heard");
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return status;
}

static bool is_sound(const eet_h5_record *r) {
    return r->kind >= EET_H5_LAYER && r->kind <= EET_H5_END && r->path_bytes <= EET_H5_MAX_PATH &&
           r->text_bytes <= EET_H5_MAX_TEXT && r->rank >= 0 && r->rank <= EET_H5_MAX_RANK &&
           r->type <= EET_H5_UNSIGNED && r->layout <= EET_H5_UNWRITTEN;
}

eet_status eet_h5_receive(eet_h5_stream *stream, eet_h5_message *out, eet_error *err) {
    eet_h5_record *r = &out->record;

    if (stream->records++ == EET_H5_MAX_RECORDS) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "the HDF5 file has too many parts");
    }
    eet_status status = take(stream, r, sizeof *r, err);

    if (status == EET_OK && !is_sound(r)) {
        status = garbled(err);
    }
    if (status == EET_OK) {
        status = take(stream, out->path, r->path_bytes, err);
    }
    if (status == EET_OK) {
        status = take(stream, out->text, r->text_bytes, err);
    }
    if (status != EET_OK) {
        return status;
    }
    out->path[r->path_bytes] = '\0';
    out->text[r->text_bytes] = '\0';
    return strlen(out->path) == r->path_bytes && strlen(out->text) == r->text_bytes ? EET_OK
                                                                                    : garbled(err);
}

static bool send_all(int fd, const void *data, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        const ssize_t put = write(fd, (const char *)data + done, bytes - done);

        if (put < 0 && errno != EINTR) {
            return false;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

bool eet_h5_send(int fd, const eet_h5_record *record, const char *path, const char *text) {
    eet_h5_record r = *record;

    r.path_bytes = (uint32_t)strlen(path);
    r.text_bytes = (uint32_t)strlen(text);
    return send_all(fd, &r, sizeof r) && send_all(fd, path, r.path_bytes) &&
           send_all(fd, text, r.text_bytes);
}
