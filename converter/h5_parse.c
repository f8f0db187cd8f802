/* h5_parse.c - lists what an HDF5 file of Keras holds: the names of layers and weights, and
 * of each dataset its type, shape and place. Runs in a process of its own (h5_jail.c), reads
 * through the one descriptor it is given, and reads no dataset: that does its parent. */
#define H5_USE_110_API
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "converter/h5_wire.h"

enum {
    MAX_DEPTH = 32,
    MAX_OBJECTS = 100000,
    MAX_STRINGS = 100000,
    MAX_ATTRIBUTE = 16 << 20,
    GROUP_SLOTS = 1 << 18
};

typedef struct parsing {
    int out;
    bool failed; /* FAILED is sent */
    int depth;
    int objects;
    haddr_t *group; /* (GROUP_SLOTS) addresses of groups seen, a hash table */
    char path[EET_H5_MAX_PATH + 1];
    size_t path_bytes;
} parsing;

/* ---- the file through one descriptor ------------------------------------ */

typedef struct h5_file {
    H5FD_t base; /* must be first */
    int fd;
    haddr_t end, allocated;
} h5_file;

/* The name is the descriptor's number and the file's size. */
static H5FD_t *file_open(const char *name, unsigned flags, hid_t fapl, haddr_t most) {
    h5_file *file = calloc(1, sizeof *file);

    (void)flags;
    (void)fapl;
    (void)most;
    if (file != NULL) {
        file->end = (haddr_t)strtoull(strchr(name, ' '), NULL, 10);
        file->fd = (int)strtol(name, NULL, 10);
    }
    return (H5FD_t *)file; /* begins with one */
}

static herr_t file_close(H5FD_t *file) {
    free(file);
    return 0;
}

static haddr_t file_allocated(const H5FD_t *file, H5FD_mem_t type) {
    (void)type;
    return ((const h5_file *)file)->allocated;
}

static herr_t file_allocate(H5FD_t *file, H5FD_mem_t type, haddr_t end) {
    (void)type;
    ((h5_file *)file)->allocated = end;
    return 0;
}

static haddr_t file_end(const H5FD_t *file, H5FD_mem_t type) {
    (void)type;
    return ((const h5_file *)file)->end;
}

/* Bytes behind the end are zero, as HDF5 has it. */
static herr_t file_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t from, size_t bytes,
                        void *data) {
    const int fd = ((const h5_file *)file)->fd;
    const haddr_t end = ((const h5_file *)file)->end;
    size_t done = 0;

    (void)type;
    (void)transfer;
    if (from > end || bytes > INT64_MAX - from) {
        return -1;
    }
    while (done < bytes && from + done < end) {
        const ssize_t got = pread(fd, (char *)data + done, bytes - done, (off_t)(from + done));

        if (got <= 0) {
            return -1;
        }
        done += (size_t)got;
    }
    memset((char *)data + done, 0, bytes - done);
    return 0;
}

static herr_t file_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t to, size_t bytes,
                         const void *data) {
    (void)file;
    (void)type;
    (void)transfer;
    (void)to;
    (void)bytes;
    (void)data;
    return -1;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION /* 1.14 */
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)600,
#endif
    .name = "eet",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .open = file_open,
    .close = file_close,
    .get_eoa = file_allocated,
    .set_eoa = file_allocate,
    .get_eof = file_end,
    .read = file_read,
    .write = file_write,
    .fl_map = H5FD_FLMAP_SINGLE,
};

/* Says why there is no more; only the first time. Returns false. */
static bool fail(parsing *p, eet_status status, const char *text) {
    const eet_h5_record record = {.kind = EET_H5_FAILED, .status = (int32_t)status};

    if (!p->failed) {
        p->failed = true;
        (void)eet_h5_send(p->out, &record, "", text);
    }
    return false;
}

/* Does the library's last error come from a lack of memory? */
static herr_t look_for_memory(unsigned n, const H5E_error2_t *error, void *found) {
    (void)n;
    *(bool *)found = *(bool *)found || error->min_num == H5E_NOSPACE ||
                     (error->maj_num == H5E_RESOURCE && error->min_num == H5E_CANTALLOC);
    return 0;
}

static bool fail_library(parsing *p, const char *text) {
    bool memory = false;

    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look_for_memory, &memory);
    return memory ? fail(p, EET_E_LIMIT, "parsing the HDF5 file takes too much memory")
                  : fail(p, EET_E_CORRUPT, text);
}

/* ---- attributes: lists of strings --------------------------------------- */

/* One string of at most `room` bytes, as the type pads it. */
static bool tell_string(parsing *p, eet_h5_kind kind, const char *text, size_t room, bool spaces) {
    const eet_h5_record record = {.kind = (uint32_t)kind};
    char copy[EET_H5_MAX_TEXT + 1];
    size_t bytes = strnlen(text, room);

    while (spaces && bytes > 0 && text[bytes - 1] == ' ') {
        bytes--;
    }
    if (bytes > EET_H5_MAX_TEXT) {
        return fail(p, EET_E_CORRUPT, "a name of a layer or weight is longer than 512 bytes");
    }
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return eet_h5_send(p->out, &record, p->path, copy);
}

static bool tell_fixed(parsing *p, eet_h5_kind kind, hid_t attribute, hid_t type, hsize_t count) {
    const size_t size = H5Tget_size(type);
    const bool spaces = H5Tget_strpad(type) == H5T_STR_SPACEPAD;

    if (size == 0 || count > MAX_ATTRIBUTE / size) {
        return fail(p, EET_E_LIMIT, "a list of names has more than 16777216 bytes");
    }
    char *data = calloc((size_t)count, size);
    bool fine = data != NULL && H5Aread(attribute, type, data) >= 0;

    fine = fine || fail_library(p, "a list of names cannot be read");
    for (hsize_t i = 0; fine && i < count; i++) {
        fine = tell_string(p, kind, data + i * size, size, spaces);
    }
    free(data);
    return fine;
}

static bool tell_variable(parsing *p, eet_h5_kind kind, hid_t attribute, hid_t type, hid_t space,
                          hsize_t count) {
    char **text = calloc((size_t)count, sizeof *text);
    const bool read = text != NULL && H5Aread(attribute, type, text) >= 0;
    bool fine = read || fail_library(p, "a list of names cannot be read");

    for (hsize_t i = 0; fine && i < count; i++) {
        fine = text[i] != NULL ? tell_string(p, kind, text[i], EET_H5_MAX_TEXT + 1, false)
                               : fail(p, EET_E_CORRUPT, "a name in a list is missing");
    }
    if (read) {
        (void)H5Dvlen_reclaim(type, space, H5P_DEFAULT, text);
    }
    free(text);
    return fine;
}

static bool tell_attribute(parsing *p, eet_h5_kind kind, hid_t attribute) {
    const hid_t type = H5Aget_type(attribute);
    const hid_t space = H5Aget_space(attribute);
    const hssize_t count = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    bool fine = type >= 0 && count >= 0;

    if (!fine) {
        (void)fail_library(p, "a list of names cannot be read");
    } else if (count > MAX_STRINGS) {
        fine = fail(p, EET_E_LIMIT, "a list has more than 100000 names");
    } else if (count > 0 && H5Tget_class(type) != H5T_STRING) {
        fine = fail(p, EET_E_CORRUPT, "a list of names is no list of strings");
    } else if (count > 0) {
        fine = H5Tis_variable_str(type) > 0
                   ? tell_variable(p, kind, attribute, type, space, (hsize_t)count)
                   : tell_fixed(p, kind, attribute, type, (hsize_t)count);
    }
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    return fine;
}

/* Attribute `name` of an object, in one piece or cut into name0, name1 ... *there: is it? */
static bool tell_list(parsing *p, eet_h5_kind kind, hid_t object, const char *name, bool *there) {
    char part[32];
    bool fine = true;

    *there = false;
    for (int i = -1; fine && i < MAX_STRINGS; i++) {
        (void)snprintf(part, sizeof part, i < 0 ? "%s" : "%s%d", name, i);
        if (H5Aexists(object, part) <= 0) {
            if (i >= 0) {
                break;
            }
            continue;
        }
        const hid_t attribute = H5Aopen(object, part, H5P_DEFAULT);

        fine = attribute >= 0 ? tell_attribute(p, kind, attribute)
                              : fail_library(p, "a list of names cannot be read");
        *there = true;
        (void)H5Aclose(attribute);
        if (i < 0) {
            break;
        }
    }
    return fine;
}

static bool is_half(hid_t type) {
    size_t sign = 0;
    size_t exponent = 0;
    size_t exponent_bits = 0;
    size_t mantissa = 0;
    size_t mantissa_bits = 0;

    return H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits) >= 0 &&
           sign == 15 && exponent == 10 && exponent_bits == 5 && mantissa == 0 &&
           mantissa_bits == 10 && H5Tget_ebias(type) == 15;
}

/* IEEE floats and whole integers; everything else stays OTHER. */
static void describe_type(hid_t type, eet_h5_record *r) {
    const size_t size = H5Tget_size(type);
    const H5T_order_t order = H5Tget_order(type);
    const bool big = order == H5T_ORDER_BE;

    r->big_endian = big ? 1 : 0;
    if (size > 8 || (order != H5T_ORDER_LE && !big)) {
        return;
    }
    if (H5Tget_class(type) == H5T_FLOAT) {
        const bool known = size == 2
                               ? is_half(type)
                               : H5Tequal(type, big ? H5T_IEEE_F32BE : H5T_IEEE_F32LE) > 0 ||
                                     H5Tequal(type, big ? H5T_IEEE_F64BE : H5T_IEEE_F64LE) > 0;

        r->type = known ? EET_H5_FLOAT : EET_H5_OTHER;
    } else if (H5Tget_class(type) == H5T_INTEGER && H5Tget_precision(type) == 8 * size) {
        r->type = H5Tget_sign(type) == H5T_SGN_2 ? EET_H5_SIGNED : EET_H5_UNSIGNED;
    }
    r->size = (uint8_t)size;
}

static bool describe_layout(parsing *p, hid_t dataset, hid_t create, eet_h5_record *r) {
    switch (H5Pget_layout(create)) {
    case H5D_CONTIGUOUS:
        break;
    case H5D_CHUNKED:
        r->layout = EET_H5_CHUNKED;
        return true;
    case H5D_COMPACT:
        r->layout = EET_H5_COMPACT;
        return true;
    case H5D_VIRTUAL:
        return fail(p, EET_E_SUSPICIOUS, "a dataset is virtual: its data would be in other files");
    default:
        return fail_library(p, "a dataset's layout cannot be read");
    }
    if (H5Pget_external_count(create) != 0) {
        return fail(p, EET_E_SUSPICIOUS, "the data of a dataset would be in another file");
    }
    const haddr_t offset = H5Dget_offset(dataset);

    r->stored = H5Dget_storage_size(dataset);
    r->offset = offset;
    if (offset == HADDR_UNDEF) {
        r->layout = EET_H5_UNWRITTEN;
        r->offset = 0;
    }
    return true;
}

static bool tell_opened(parsing *p, hid_t dataset) {
    const hid_t type = H5Dget_type(dataset);
    const hid_t space = H5Dget_space(dataset);
    const hid_t create = H5Dget_create_plist(dataset);
    eet_h5_record r = {.kind = EET_H5_DATASET};
    bool fine = type >= 0 && space >= 0 && create >= 0;

    if (!fine) {
        (void)fail_library(p, "a dataset cannot be read");
    } else {
        fine = describe_layout(p, dataset, create, &r);
    }
    if (fine) {
        describe_type(type, &r);
        const H5S_class_t kind = H5Sget_simple_extent_type(space);
        const int rank = H5Sget_simple_extent_ndims(space);

        if ((kind != H5S_SIMPLE && kind != H5S_SCALAR) || rank < 0 || rank > EET_H5_MAX_RANK) {
            r.layout = EET_H5_RANK;
        } else {
            hsize_t dims[EET_H5_MAX_RANK] = {0};

            (void)H5Sget_simple_extent_dims(space, dims, NULL);
            r.rank = rank;
            for (int i = 0; i < rank; i++) {
                r.shape[i] = dims[i];
            }
        }
        fine = eet_h5_send(p->out, &r, p->path, "");
    }
    (void)H5Pclose(create);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    return fine;
}

static bool tell_dataset(parsing *p, hid_t group, const char *name) {
    const hid_t dataset = H5Dopen2(group, name, H5P_DEFAULT);
    const bool fine =
        dataset >= 0 ? tell_opened(p, dataset) : fail_library(p, "a dataset cannot be opened");

    (void)H5Dclose(dataset);
    return fine;
}

/* False when it was seen: a group in itself, or in two places. */
static bool see_group(parsing *p, haddr_t address) {
    uint64_t at = (address * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (GROUP_SLOTS - 1);

    while (p->group[at] != 0) {
        if (p->group[at] == address + 1) {
            return false;
        }
        at = (at + 1) & (GROUP_SLOTS - 1);
    }
    p->group[at] = address + 1;
    return true;
}

static herr_t visit(hid_t group, const char *name, const H5L_info_t *link, void *context);

static bool walk(parsing *p, hid_t group) {
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, visit, p) < 0) {
        return fail_library(p, "a group cannot be read");
    }
    return !p->failed;
}

static bool walk_below(parsing *p, hid_t group, const char *name, haddr_t address) {
    if (p->depth == MAX_DEPTH) {
        return fail(p, EET_E_LIMIT, "groups lie in each other more than 32 deep");
    }
    if (!see_group(p, address)) {
        return fail(p, EET_E_CORRUPT, "a group stands in two places, or in itself");
    }
    const hid_t below = H5Gopen2(group, name, H5P_DEFAULT);

    if (below < 0) {
        return fail_library(p, "a group cannot be opened");
    }
    bool there = false;
    bool fine = p->depth > 0 || tell_list(p, EET_H5_WEIGHT, below, "weight_names", &there);

    p->depth++;
    fine = fine && walk(p, below);
    p->depth--;
    (void)H5Gclose(below);
    return fine;
}

static bool visit_object(parsing *p, hid_t group, const char *name) {
    H5O_info_t about;

    if (++p->objects > MAX_OBJECTS) {
        return fail(p, EET_E_LIMIT, "the HDF5 file has more than 100000 objects");
    }
    if (H5Oget_info_by_name1(group, name, &about, H5P_DEFAULT) < 0) {
        return fail_library(p, "an object cannot be read");
    }
    if (about.type == H5O_TYPE_GROUP) {
        return walk_below(p, group, name, about.addr);
    }
    return about.type != H5O_TYPE_DATASET || tell_dataset(p, group, name);
}

/* A link that is no hard one leads out of what was checked, perhaps to another file. */
static herr_t visit(hid_t group, const char *name, const H5L_info_t *link, void *context) {
    parsing *p = context;
    const size_t before = p->path_bytes;
    const size_t bytes = strlen(name);

    if (link->type != H5L_TYPE_HARD) {
        (void)fail(p, EET_E_SUSPICIOUS,
                   "it has a link that leads elsewhere (soft or external), which is not followed");
        return -1;
    }
    if (bytes + 1 > EET_H5_MAX_PATH - before) {
        (void)fail(p, EET_E_LIMIT, "a path in the HDF5 file has more than 1024 bytes");
        return -1;
    }
    if (before > 0) {
        p->path[p->path_bytes++] = '/';
    }
    memcpy(p->path + p->path_bytes, name, bytes + 1);
    p->path_bytes += bytes;
    const bool fine = visit_object(p, group, name);

    p->path_bytes = before;
    p->path[before] = '\0';
    return fine ? 0 : -1;
}

static bool tell_root(parsing *p, hid_t root) {
    bool there = false;

    if (!tell_list(p, EET_H5_LAYER, root, "layer_names", &there)) {
        return false;
    }
    if (!there) {
        return fail(p, EET_E_UNSUPPORTED,
                    "it is HDF5, but no tf_model.h5 of Transformers: it has no \"layer_names\"");
    }
    return walk(p, root);
}

static bool tell_file(parsing *p, const char *name) {
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    const hid_t with = H5FDregister(&driver);

    if (access < 0 || with < 0 || H5Pset_driver(access, with, NULL) < 0) {
        return fail_library(p, "the HDF5 library cannot be used");
    }
    const hid_t file = H5Fopen(name, H5F_ACC_RDONLY, access);

    if (file < 0) {
        return fail_library(p, "the HDF5 file cannot be opened: it is damaged or cut off");
    }
    const hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);

    return root >= 0 ? tell_root(p, root)
                     : fail_library(p, "the HDF5 file's first group cannot be opened");
}

void eet_h5_parse(int file, uint64_t bytes, int out) {
    const eet_h5_record end = {.kind = EET_H5_END};
    parsing p = {.out = out, .group = calloc(GROUP_SLOTS, sizeof *p.group)};
    char name[64];

    (void)snprintf(name, sizeof name, "%d %llu", file, (unsigned long long)bytes);
    (void)H5open();
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    (void)H5PLset_loading_state(0);
    if (p.group == NULL) {
        (void)fail(&p, EET_E_MEMORY, "no memory for parsing HDF5");
    } else if (tell_file(&p, name)) {
        (void)eet_h5_send(p.out, &end, "", "");
    }
    (void)H5close();
    free(p.group);
}
