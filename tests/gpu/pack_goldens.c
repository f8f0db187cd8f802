/* pack_goldens.c - all goldens in one .eet file: an asset each, beside a model of a few numbers.
 *
 *   pack_goldens OUT.eet FOLDER [--spoil GOLDEN DATASET]
 *
 * --spoil writes other numbers than the golden has: a check must see that. */
#include <dirent.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/facts.h"
#include "format/writer.h"
#include "tests/gpu/pack.h"

typedef struct packing {
    const char *golden, *spoil_golden, *spoil_dataset;
    uint8_t *bytes;
    size_t size;
} packing;

static _Noreturn void give_up(const char *what, const char *why) {
    (void)fprintf(stderr, "pack_goldens: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void *grow(packing *p, size_t bytes) {
    p->bytes = realloc(p->bytes, p->size + bytes);
    if (p->bytes == NULL) {
        give_up(p->golden, "no memory");
    }
    memset(p->bytes + p->size, 0, bytes);
    p->size += bytes;
    return p->bytes + p->size - bytes;
}

static void add_values(packing *p, hid_t data, const gpu_record *record) {
    const size_t count = (size_t)record->rows * (size_t)record->columns;
    const size_t bytes = count * (record->real != 0 ? sizeof(double) : sizeof(int32_t));
    const bool spoil = p->spoil_golden != NULL && strcmp(p->golden, p->spoil_golden) == 0 &&
                       strcmp(record->name, p->spoil_dataset) == 0;
    double *values = grow(p, (bytes + 7) / 8 * 8);

    if (H5Dread(data, record->real != 0 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT32, H5S_ALL, H5S_ALL,
                H5P_DEFAULT, values) < 0) {
        give_up(p->golden, record->name);
    }
    for (size_t i = 0; spoil && record->real != 0 && i < count; ++i) {
        values[i] *= 1.1;
    }
}

static herr_t add_dataset(hid_t file, const char *name, const H5L_info_t *info, void *context) {
    packing *p = context;
    gpu_record record = {.rows = 1, .columns = 1};
    hsize_t sides[2] = {1, 1};
    const hid_t data = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t space = H5Dget_space(data);
    const hid_t type = H5Dget_type(data);

    (void)info;
    if (data < 0 || strlen(name) >= sizeof record.name || H5Sget_simple_extent_ndims(space) > 2 ||
        H5Sget_simple_extent_dims(space, sides, NULL) < 0) {
        give_up(p->golden, name);
    }
    (void)strcpy(record.name, name);
    record.real = H5Tget_class(type) == H5T_FLOAT;
    record.rows = (int32_t)sides[0];
    record.columns = (int32_t)sides[1];
    memcpy(grow(p, sizeof record), &record, sizeof record);
    add_values(p, data, &record);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(data);
    return 0;
}

static void add_golden(eet_writer *writer, packing *p, const char *folder, const char *file) {
    char path[GPU_PATH];
    char name[GPU_NAME];
    eet_error err = {0};

    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    (void)snprintf(name, sizeof name, "%.*s", (int)(strlen(file) - 3), file);
    p->golden = name;
    p->size = 0;
    const hid_t golden = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);

    if (golden < 0 || H5Literate(golden, H5_INDEX_NAME, H5_ITER_INC, NULL, add_dataset, p) < 0 ||
        H5Fclose(golden) < 0) {
        give_up(path, "cannot be read");
    }
    if (eet_writer_asset(writer, name, false, p->bytes, p->size, &err) != EET_OK) {
        give_up(name, err.text);
    }
}

static int is_golden(const struct dirent *entry) {
    const char *end = strrchr(entry->d_name, '.');

    return end != NULL && strcmp(end, ".h5") == 0;
}

/* The model that a container has: a decoder of no layer worth naming, all zeros. */
static eet_facts little_facts(void) {
    eet_facts facts = {.heads = 0};
    eet_stack_facts s = eet_stack_facts_default();

    s.present = true;
    s.layers = s.heads = s.head_dim = s.hidden = s.ffn = s.emb_dim = 1;
    s.vocab_size = s.vocab_rows = 1;
    s.act = EET_ACT_RELU;
    s.norm_eps = 1e-5;
    s.attn_scale = 1.0;
    facts.stack[EET_DEC] = s;
    (void)strcpy(facts.family, "goldens");
    return facts;
}

static eet_status declare_tensor(void *context, const eet_expected *e) {
    const eet_writer_tensor t = {.role = e->role,
                                 .layer = (int16_t)e->layer,
                                 .dtype = EET_F32,
                                 .rank = e->rank,
                                 .dims = {(uint64_t)e->shape[0], (uint64_t)e->shape[1]},
                                 .alias_of = -1};
    int32_t number = 0;

    return eet_writer_tensor_add(context, &t, &number, NULL);
}

typedef struct streaming {
    eet_writer *writer;
    int32_t number;
} streaming;

static eet_status write_tensor(void *context, const eet_expected *e) {
    static const float zeros[64];
    streaming *s = context;
    const uint64_t count = (uint64_t)e->shape[0] * (uint64_t)(e->rank == 2 ? e->shape[1] : 1);

    return count > 64 ? EET_E_LIMIT
                      : eet_writer_append(s->writer, s->number++, zeros, 4 * count, NULL);
}

int main(int argc, char **argv) {
    const eet_writer_options options = {.force = true};
    const eet_facts facts = little_facts();
    packing p = {.bytes = NULL};
    struct dirent **entries = NULL;
    eet_writer *writer = NULL;
    eet_error err = {0};

    if ((argc != 3 && argc != 6) || (argc == 6 && strcmp(argv[3], "--spoil") != 0)) {
        give_up("usage", "pack_goldens OUT.eet FOLDER [--spoil GOLDEN DATASET]");
    }
    p.spoil_golden = argc == 6 ? argv[4] : NULL;
    p.spoil_dataset = argc == 6 ? argv[5] : NULL;
    const int count = scandir(argv[2], &entries, is_golden, alphasort);

    if (count <= 0) {
        give_up(argv[2], "there are no goldens");
    }
    if (eet_writer_create(argv[1], &options, &writer, &err) != EET_OK) {
        give_up(argv[1], err.text);
    }
    if (eet_writer_facts(writer, &facts, &err) != EET_OK ||
        eet_facts_expect(&facts, declare_tensor, writer) != EET_OK) {
        give_up(argv[1], err.text);
    }
    for (int i = 0; i < count; ++i) {
        add_golden(writer, &p, argv[2], entries[i]->d_name);
        free(entries[i]);
    }
    streaming stream = {.writer = writer};

    if (eet_writer_plan(writer, &err) != EET_OK || eet_writer_begin(writer, &err) != EET_OK ||
        eet_facts_expect(&facts, write_tensor, &stream) != EET_OK ||
        eet_writer_commit(writer, &err) != EET_OK) {
        give_up(argv[1], err.text);
    }
    (void)printf("%d goldens in %s\n", count, argv[1]);
    free(entries);
    free(p.bytes);
    eet_writer_free(writer);
    return EXIT_SUCCESS;
}
