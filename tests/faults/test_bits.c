/* test_bits.c - every bit of two small files flipped, and every length cut: found, at the level
 * that docs/format.md, "Order of checks", promises. docs/reliability.md has these numbers; the
 * test compares it. refusals.md: 81, 82 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/verify.h"
#include "tests/format/image.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

enum { LEVELS = 3, REGIONS = 8 };

/* Where a byte lies, and the highest level at which its bits may be found. */
typedef struct region {
    const char *name;
    int level;
    uint64_t bits;
    uint64_t found[LEVELS];
} region;

static const region fresh[REGIONS] = {
    {.name = "page 0", .level = 0},
    {.name = "META", .level = 0},
    {.name = "NAME", .level = 0},
    {.name = "TENS", .level = 0},
    {.name = "PROV", .level = 0},
    {.name = "ASST", .level = 2},
    {.name = "bytes of tensors", .level = 1},
    {.name = "padding", .level = 2},
};
enum { PAGE_0, FIRST_SECTION, ASSETS = 5, TENSORS = 6, PADDING = 7 };

static const char *const files[] = {EET_FIXTURES "/eet/golden-1.0.eet",
                                    EET_FIXTURES "/eet/golden-encdec-1.0.eet"};

static eet_image load(const char *path) {
    eet_image image = {NULL, 0};
    size_t size = 0;
    unsigned char *bytes = eet_file_slurp(path, &size);

    image.bytes = malloc(size);
    image.size = size;
    ck_assert_ptr_nonnull(image.bytes);
    memcpy(image.bytes, bytes, size);
    free(bytes);
    return image;
}

static const eet_disk_section *section_of(const eet_image *image, uint32_t type) {
    const eet_disk_section *s = (const eet_disk_section *)(void *)(image->bytes + 256);

    for (uint16_t i = 0; i < eet_image_header(image)->section_count; i++) {
        if (s[i].type == type) {
            return &s[i];
        }
    }
    return NULL;
}

static int region_of(const eet_image *image, uint64_t at) {
    static const uint32_t types[] = {EET_SECTION_META, EET_SECTION_NAME, EET_SECTION_TENS,
                                     EET_SECTION_PROV, EET_SECTION_ASST};
    const eet_disk_section *data = eet_image_section(image, EET_SECTION_DATA);
    const eet_disk_section *tens = eet_image_section(image, EET_SECTION_TENS);
    const eet_disk_tensor *t = (const eet_disk_tensor *)(void *)(image->bytes + tens->offset);

    if (at < EET_PAGE) {
        return PAGE_0;
    }
    for (int i = 0; i < 5; i++) {
        const eet_disk_section *s = section_of(image, types[i]);

        if (s != NULL && at >= s->offset && at < s->offset + s->stored_bytes) {
            return FIRST_SECTION + i;
        }
    }
    for (uint32_t i = 0; i < eet_image_header(image)->tensor_count; i++) {
        const uint64_t start = data->offset + t[i].offset;

        if (at >= start && at < start + t[i].nbytes) {
            return TENSORS;
        }
    }
    return PADDING;
}

/* The level at which a damaged file is refused; LEVELS: it is taken for good. */
static int level_found(const eet_image *image) {
    eet_file *file = NULL;
    int level = LEVELS;

    if (eet_file_open_memory(image->bytes, image->size, 0, &file, NULL) != EET_OK) {
        return 0;
    }
    if (eet_file_check_tensors(file, NULL) != EET_OK) {
        level = 1;
    } else if (eet_file_verify(file, NULL) != EET_OK) {
        level = 2;
    }
    eet_file_close(file);
    return level;
}

/* One CPU: a thread for each file would take longer than the file. */
static void use_one_cpu(void) {
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET((size_t)sched_getcpu(), &cpus);
    ck_assert_int_eq(sched_setaffinity(0, sizeof cpus, &cpus), 0);
}

static void flip_all(const char *path, region regions[REGIONS]) {
    eet_image image = load(path);
    int *where = malloc((size_t)image.size * sizeof *where);

    ck_assert_ptr_nonnull(where);
    ck_assert_int_eq(level_found(&image), LEVELS);
    for (uint64_t at = 0; at < image.size; at++) {
        where[at] = region_of(&image, at); /* while the table can be read */
    }
    for (uint64_t bit = 0; bit < 8 * image.size; bit++) {
        region *r = &regions[where[bit / 8]];

        image.bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        const int level = level_found(&image);

        image.bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        ck_assert_msg(level <= r->level, "%s: bit %" PRIu64 " (%s) is found at level %d", path, bit,
                      r->name, level);
        r->bits++;
        r->found[level]++;
    }
    free(where);
    eet_image_free(&image);
}

/* The row of the page for a region: "| META | 9536 | 9536 | 0 | 0 |". */
static size_t write_row(const region *r, char *out, size_t room) {
    const int length =
        snprintf(out, room, "| %s | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " |\n",
                 r->name, r->bits, r->found[0], r->found[1], r->found[2]);

    ck_assert_int_gt((int)room, length);
    return (size_t)length;
}

START_TEST(every_flipped_bit_is_found_at_its_level)
{
    region regions[REGIONS];
    size_t size = 0;
    char *page = (char *)eet_file_slurp(EET_FIXTURES "/../docs/reliability.md", &size);
    uint64_t bits = 0;
    char table[1024];
    size_t used = 0;

    use_one_cpu();
    memcpy(regions, fresh, sizeof fresh);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        flip_all(files[i], regions);
    }
    for (int i = 0; i < REGIONS; i++) {
        used += write_row(&regions[i], table + used, sizeof table - used);
        bits += regions[i].bits;
    }
    ck_assert_msg(strstr(page, table) != NULL, "docs/reliability.md lacks:\n%s", table);
    ck_assert_uint_eq(bits, 8 * 2 * 28672);
    ck_assert_uint_gt(regions[TENSORS].found[1], 0);
    ck_assert_uint_gt(regions[ASSETS].found[2], 0);
    free(page);
}
END_TEST

START_TEST(every_length_but_the_right_one_is_refused)
{
    eet_image whole = load(files[_i]);

    for (uint64_t length = 0; length <= whole.size + EET_PAGE; length++) {
        eet_image cut = {calloc(1, (size_t)length + 1), length};

        memcpy(cut.bytes, whole.bytes, (size_t)(length < whole.size ? length : whole.size));
        const eet_status status = eet_image_open(&cut, 0, NULL);

        ck_assert_msg(status == (length == whole.size ? EET_OK : EET_E_CORRUPT),
                      "%" PRIu64 " bytes: status %d", length, (int)status);
        eet_image_free(&cut);
    }
    eet_image_free(&whole);
}
END_TEST

START_TEST(every_start_that_is_missing_is_refused)
{
    eet_image whole = load(files[_i]);

    for (uint64_t lost = 1; lost < whole.size; lost++) {
        eet_image rest = {malloc((size_t)(whole.size - lost)), whole.size - lost};

        memcpy(rest.bytes, whole.bytes + lost, (size_t)rest.size);
        ck_assert_int_eq(eet_image_open(&rest, 0, NULL), EET_E_CORRUPT);
        eet_image_free(&rest);
    }
    eet_image_free(&whole);
}
END_TEST

int main(int count, char **arguments) {
    const eet_claim claims[] = {{.test = every_flipped_bit_is_found_at_its_level}};
    const eet_claim lengths[] = {
        {.test = every_length_but_the_right_one_is_refused, .rows = 2},
        {.test = every_start_that_is_missing_is_refused, .rows = 2},
    };

    (void)arguments;
    if (count > 1) {
        return eet_suite_run("bits", claims, 1);
    }
    return eet_suite_run("lengths", lengths, sizeof lengths / sizeof *lengths);
}
