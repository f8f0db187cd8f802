/* torch_internal.h - inside source_torch.c, source_legacy.c and torch_*.c: one open checkpoint
 * of torch.save. */
#ifndef EET_CONVERTER_TORCH_INTERNAL_H
#define EET_CONVERTER_TORCH_INTERNAL_H

#include "converter/archive.h"
#include "converter/pickle.h"
#include "converter/source_reader.h"

/* A storage class of torch, or a dtype. */
typedef struct eet_torch_type {
    const char *name;
    eet_source_dtype dtype;
    uint32_t item; /* bytes of an element in the record; 0: not told by its length */
    uint32_t swap; /* bytes that turn round in a file of the other byte order */
    const char *refusal;
} eet_torch_type;

typedef struct eet_torch_storage {
    uint64_t key;
    const eet_torch_type *type;
    int64_t entry;   /* in the archive; -1: the record is missing */
    uint64_t offset; /* in a stream; 0: not found there yet */
    uint64_t elements, bytes;
    bool is_bool; /* bytes are 0 and 1 */
} eet_torch_storage;

typedef struct eet_torch eet_torch;

/* How a container holds its storages. */
typedef struct eet_torch_box {
    uint32_t id_items;   /* of a persistent id */
    const char *id_form; /* ... in messages */
    const char *pickle;  /* what holds the ids, in messages */
    const char *record;  /* in front of a storage's key, in messages */
    /* Where a storage lies that was not named before; it may change its bytes. */
    eet_status (*locate)(eet_torch *torch, eet_source *source, eet_torch_storage *storage,
                         eet_error *err);
    /* All storages are known. */
    eet_status (*collected)(eet_torch *torch, eet_source *source, eet_error *err);
} eet_torch_box;

extern const eet_torch_box eet_torch_archive; /* torch_records.c */

struct eet_torch {
    const eet_torch_box *box;
    eet_archive *archive;                   /* NULL: a stream */
    char *prefix;                           /* the archive's one folder, with its '/' */
    bool swapped;                           /* of the other byte order */
    bool big_endian, ordered;               /* a stream says so; its storages have shown it */
    bool storages_unchecked, all_unchecked; /* written with CRC 0 */
    char serialization_id[65];
    eet_torch_storage *storage;
    int32_t storages, storage_room;
    int32_t *slot; /* hash table by key: a storage's number, -1 free */
    uint64_t slots;
    uint64_t hooks, states; /* tensors with backward hooks, with a state of their own */
    uint64_t after_pickle;  /* in a stream: where the list of keys begins */
};

/* source_torch.c: frees source->state, of any container. */
void eet_torch_close(eet_source *source);

/* torch_types.c. NULL when it is none; an unknown class or dtype of torch's is refused
 * by the row that comes back. */
const eet_torch_type *eet_torch_storage_type(const eet_pickle_node *class);
const eet_torch_type *eet_torch_dtype(const eet_pickle_node *dtype);
bool eet_torch_is_untyped(const eet_torch_type *type);

/* torch_entries.c: the small entries, and which checksums mean something. */
eet_status eet_torch_check_entries(eet_torch *torch, eet_source *source, eet_error *err);
/* data.pkl, whole; free() it. */
eet_status eet_torch_read_pickle(eet_torch *torch, void **data, uint64_t *bytes, eet_error *err);
/* The entry called so behind the folder's name; -1: not there. */
int64_t eet_torch_find_member(const eet_torch *torch, const char *member);
/* What stands behind the folder's name. */
const char *eet_torch_member(const eet_torch *torch, int64_t entry);

/* torch_storages.c. */
eet_status eet_torch_collect(eet_torch *torch, eet_source *source, const eet_pickle *pickle,
                             eet_error *err);
int32_t eet_torch_find_storage(const eet_torch *torch, uint64_t key); /* -1: none */
/* A storage's key: decimal digits without a leading zero. */
bool eet_torch_parse_key(const char *text, uint64_t bytes, uint64_t *key);
uint64_t eet_torch_storage_bytes(const eet_source *source, int32_t storage);
/* What was read of a storage: checks booleans, turns bytes round. */
eet_status eet_torch_storage_finish(const eet_torch *torch, const eet_torch_storage *storage,
                                    void *data, eet_error *err);

/* torch_records.c: eet_source_reader's storage_read, of an archive. */
eet_status eet_torch_record_read(eet_source *source, int32_t index, void *data, eet_error *err);

/* torch_map.c: adds the tensors of the map in the pickle to the source. */
eet_status eet_torch_list(eet_source *source, const eet_pickle *pickle, eet_error *err);

/* torch_tensors.c. Would torch make a tensor of it? */
bool eet_torch_is_tensor(const eet_pickle_node *value);
/* Fills in all but the name; what cannot be read gets a refusal. */
eet_status eet_torch_rebuild(eet_torch *torch, const eet_pickle_node *value, eet_source_tensor *out,
                             eet_error *err);

#endif
