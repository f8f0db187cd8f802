/* h5_internal.h - inside source_h5.c and h5_tensors.c: what was heard of an HDF5 file. */
#ifndef EET_CONVERTER_H5_INTERNAL_H
#define EET_CONVERTER_H5_INTERNAL_H

#include "converter/h5_wire.h"
#include "converter/keras_names.h"
#include "converter/source_reader.h"

/* A dataset as the other process told it. */
typedef struct eet_h5_dataset {
    char *path; /* owned */
    eet_h5_record record;
} eet_h5_dataset;

/* An item of layer_names, or of a group's weight_names. */
typedef struct eet_h5_item {
    char *group; /* owned; "" of a layer */
    char *text;  /* owned */
} eet_h5_item;

typedef struct eet_h5_list {
    eet_h5_item *item;
    int32_t count, room;
} eet_h5_list;

/* What becomes a tensor. */
typedef struct eet_h5_entry {
    char *name; /* owned, as PyTorch has it */
    int32_t dataset;
    eet_keras_turn turn;
} eet_h5_entry;

typedef struct eet_h5_storage {
    uint64_t offset, bytes;
    uint32_t swap; /* bytes that turn round; 0: none */
} eet_h5_storage;

typedef struct eet_h5_state {
    eet_h5_list layers, weights;
    eet_h5_dataset *dataset;
    int32_t datasets, dataset_room;
    eet_h5_entry *entry;
    int32_t entries;
    eet_h5_storage *storage;
    int32_t storages;
} eet_h5_state;

/* Names and adds the tensors of the layers that the file lists. */
eet_status eet_h5_list_tensors(eet_source *source, eet_h5_state *h5, eet_error *err);

eet_status eet_h5_no_memory(eet_error *err);

#endif
