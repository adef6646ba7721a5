/* Two jobs' labels on the same images, side by side. */
#ifndef NQ_SERVER_DIFF_H
#define NQ_SERVER_DIFF_H

#include "common/dataset.h"
#include <jansson.h>

#define NQ_DIFF_EXAMPLES 100

/*
 * The labels of an output.txt of one section: the line "In (MB): ..." if there is one, then a whole
 * number a line (-1: the image was unreadable). labels[0..*count-1] is malloc'd. Anything else is
 * NQ_ERR_INPUT naming the line.
 */
nq_status nq_diff_parse(const char *text, size_t size, const char *name, int32_t **labels,
                        size_t *count, nq_error *err);

/*
 * Standard error of the share of right images that is lost from one job to another on the same
 * images, from the images that only the first (`lost`) and only the second (`won`) has right:
 * sqrt(lost + won - (lost - won)^2 / images) / images.
 */
double nq_diff_error(int64_t lost, int64_t won, int64_t images);

/*
 * The reply of `diff`: line i of both belongs to image order[i] of the dataset, for `count` lines.
 * NULL: out of memory.
 */
json_t *nq_diff_compare(const nq_dataset *dataset, const uint32_t *order, size_t count,
                        const int32_t *a, const int32_t *b);

#endif
