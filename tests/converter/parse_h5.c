/* parse_h5.c - eet_h5_parse without its jail: what it says of a file, a record a line. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "converter/h5_wire.h"

enum { PATIENCE = 60 * 1000 };

static void print(const eet_h5_message *message) {
    const eet_h5_record *r = &message->record;

    (void)printf("%u %d %u %u %d %llu %llu\t%s\t%s\n", r->kind, r->status, r->type, r->layout,
                 r->rank, (unsigned long long)r->offset, (unsigned long long)r->stored,
                 message->path, message->text);
}

int main(int argc, char **argv) {
    FILE *said = tmpfile();
    const int file = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    struct stat about;
    eet_h5_stream stream;
    eet_h5_message message = {.record.kind = 0};
    eet_error err = {.status = EET_OK};

    if (said == NULL || file < 0 || fstat(file, &about) != 0) {
        (void)fprintf(stderr, "parse_h5 FILE\n");
        return 2;
    }
    eet_h5_parse(file, (uint64_t)about.st_size, fileno(said));
    (void)lseek(fileno(said), 0, SEEK_SET);
    eet_h5_stream_begin(&stream, fileno(said), PATIENCE);
    while (message.record.kind != EET_H5_END && message.record.kind != EET_H5_FAILED) {
        if (eet_h5_receive(&stream, &message, &err) != EET_OK) {
            (void)fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        print(&message);
    }
    return 0;
}
