/* test_damage.c - damaged .eet files: every byte flipped, every length cut, every rule
 * broken behind right hashes, and thousands of random changes.
 * refusals.md: 82, 83, 84, 85, 86, 87, 88, 89, 90, 91 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/format/cases_container.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

static eet_image tiny;

static void make_tiny(void) {
    const eet_sample_model model = eet_image_tiny();

    tiny = eet_image_make(&model);
}

static void free_tiny(void) {
    eet_image_free(&tiny);
}

START_TEST(a_broken_rule_is_named)
{
    const eet_case *c = &cases[_i];
    eet_image image = eet_image_copy(&tiny);
    eet_error err;

    eet_error_clear(&err);
    c->damage(&image);
    if (!c->raw) {
        eet_image_repair(&image);
    }
    const eet_status status = eet_image_open(&image, 0, &err);

    ck_assert_msg(status == c->status, "%s: status %d, \"%s\"", c->name, (int)status, err.text);
    ck_assert_msg(strstr(err.text, c->says) != NULL, "%s: \"%s\"", c->name, err.text);
    eet_image_free(&image);
}
END_TEST

/* The level that must notice a change of byte `at` of the tiny file. */
static int level_of(uint64_t at) {
    const uint32_t whole[] = {EET_SECTION_META, EET_SECTION_NAME, EET_SECTION_TENS,
                              EET_SECTION_PROV};
    const eet_disk_section *data = eet_image_section(&tiny, EET_SECTION_DATA);
    const eet_disk_section *tens = eet_image_section(&tiny, EET_SECTION_TENS);
    const eet_disk_tensor *t = (const eet_disk_tensor *)(void *)(tiny.bytes + tens->offset);

    if (at < EET_PAGE) {
        return 0;
    }
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        const eet_disk_section *s = eet_image_section(&tiny, whole[i]);

        if (at >= s->offset && at < s->offset + s->stored_bytes) {
            return 0;
        }
    }
    for (uint32_t i = 0; i < eet_image_header(&tiny)->tensor_count; i++) {
        const uint64_t start = data->offset + t[i].offset;

        if (at >= start && at < start + t[i].nbytes) {
            return 1;
        }
    }
    return 2;
}

START_TEST(a_flipped_bit_is_found_at_its_level)
{
    uint64_t found[3] = {0, 0, 0};

    ck_assert_int_eq(eet_image_open(&tiny, 2, NULL), EET_OK);
    for (uint64_t at = 0; at < tiny.size; at++) {
        const uint8_t bit = (uint8_t)(1U << (at * 5 % 8));
        int level = 0;

        tiny.bytes[at] ^= bit;
        while (level < 2 && eet_image_open(&tiny, level, NULL) == EET_OK) {
            level++;
        }
        const eet_status status = eet_image_open(&tiny, level, NULL);

        tiny.bytes[at] ^= bit;
        /* Another major version is no damage; a table of assets has rules as well as hashes. */
        ck_assert_msg(status == EET_E_CORRUPT || (at / 2 == 4 && status == EET_E_UNSUPPORTED) ||
                          (status == EET_E_LIMIT && level == 0),
                      "byte %llu: status %d", (unsigned long long)at, (int)status);
        ck_assert_msg(level <= level_of(at), "byte %llu: level %d", (unsigned long long)at, level);
        found[level]++;
    }
    ck_assert_uint_gt(found[0], 8000);
    ck_assert_uint_gt(found[1], 8000);
    ck_assert_uint_gt(found[2], 1000);
}
END_TEST

START_TEST(every_bit_of_page_0_counts)
{
    for (uint64_t bit = 0; bit < UINT64_C(8) * EET_PAGE; bit++) {
        tiny.bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        const eet_status status = eet_image_open(&tiny, 0, NULL);

        ck_assert_msg(status == EET_E_CORRUPT || status == EET_E_UNSUPPORTED, "bit %llu",
                      (unsigned long long)bit);
        tiny.bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
}
END_TEST

START_TEST(every_other_length_is_refused)
{
    const uint64_t size = tiny.size;
    eet_error err;

    for (uint64_t cut = 0; cut < size; cut += 97) {
        eet_image shorter = {malloc((size_t)cut + 1), cut};

        memcpy(shorter.bytes, tiny.bytes, (size_t)cut);
        eet_error_clear(&err);
        ck_assert_int_eq(eet_image_open(&shorter, 0, &err), EET_E_CORRUPT);
        ck_assert(cut < EET_PAGE || strstr(err.text, "its header says") != NULL);
        eet_image_free(&shorter);
    }
    for (uint64_t more = 1; more <= EET_PAGE; more += EET_PAGE - 1) {
        eet_image longer = {calloc(1, (size_t)(size + more)), size + more};

        memcpy(longer.bytes, tiny.bytes, (size_t)size);
        eet_error_clear(&err);
        ck_assert_int_eq(eet_image_open(&longer, 0, &err), EET_E_CORRUPT);
        ck_assert_ptr_nonnull(strstr(err.text, "its header says"));
        eet_image_free(&longer);
    }
}
END_TEST

/* ---- an attacker who knows the hashes ------------------------------------ */

static void mutate_many(int count) {
    eet_image image = eet_image_copy(&tiny);
    uint64_t state = UINT64_C(0x2545F4914F6CDD1D);
    int good = 0;

    for (int i = 0; i < count; i++) {
        const int changes = 1 + (int)(eet_image_random(&state) % 3);

        memcpy(image.bytes, tiny.bytes, (size_t)tiny.size);
        for (int k = 0; k < changes; k++) {
            eet_image_mutate(&image, &tiny, &state);
        }
        eet_image_repair(&image);
        const eet_status status = eet_image_open(&image, i % 3, NULL);

        ck_assert_msg(status == EET_OK || status == EET_E_CORRUPT || status == EET_E_UNSUPPORTED ||
                          status == EET_E_LIMIT,
                      "case %d: status %d", i, (int)status);
        good += status == EET_OK ? 1 : 0;
    }
    ck_assert_int_gt(good, count / 100); /* the hashes were repaired: some survive */
    ck_assert_int_lt(good, count / 2);
    eet_image_free(&image);
}

START_TEST(random_changes_are_refused_or_harmless)
{ mutate_many(20000); }
END_TEST

START_TEST(a_million_random_changes_are_refused_or_harmless)
{ mutate_many(1000000); }
END_TEST

/* With an argument: the slow claim alone. */
int main(int count, char **arguments) {
    const eet_claim claims[] = {
        {.test = a_broken_rule_is_named, .rows = CASES, .setup = make_tiny, .teardown = free_tiny},
        {.test = a_flipped_bit_is_found_at_its_level, .setup = make_tiny, .teardown = free_tiny},
        {.test = every_bit_of_page_0_counts, .setup = make_tiny, .teardown = free_tiny},
        {.test = every_other_length_is_refused, .setup = make_tiny, .teardown = free_tiny},
        {.test = random_changes_are_refused_or_harmless, .setup = make_tiny, .teardown = free_tiny},
    };
    const eet_claim many[] = {{.test = a_million_random_changes_are_refused_or_harmless,
                               .setup = make_tiny,
                               .teardown = free_tiny}};

    (void)arguments;
    if (count > 1) {
        return eet_suite_run("damage_many", many, 1);
    }
    return eet_suite_run("damage", claims, sizeof claims / sizeof *claims);
}
