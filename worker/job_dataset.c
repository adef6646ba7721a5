#include "worker/job_dataset.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_LIMIT ((size_t)64 << 20)

nq_status nq_job_load_dataset(const nq_job_file *job, nq_dataset *dataset, uint32_t **order,
                              nq_error *err)
{
    uint8_t *labels = NULL, *wnids = NULL;
    size_t labels_size = 0, wnids_size = 0;
    char fingerprint[NQ_SHA256_TEXT], stamp[NQ_SHA256_TEXT];
    nq_status status = NQ_OK;
    *dataset = (nq_dataset){0};
    *order = NULL;
    if (job->labels.root)
        status = nq_place_read(&job->labels, TEXT_LIMIT, &labels, &labels_size, err);
    if (status == NQ_OK && job->wnids.root)
        status = nq_place_read(&job->wnids, TEXT_LIMIT, &wnids, &wnids_size, err);
    if (status == NQ_OK)
        status = nq_dataset_list(job->dataset.root, job->dataset.path, (char *)labels, labels_size,
                                 (char *)wnids, wnids_size, dataset, err);
    free(labels);
    free(wnids);
    if (status != NQ_OK)
        return status;
    nq_hash_text(dataset->fingerprint, fingerprint);
    nq_hash_text(dataset->stamp, stamp);
    if ((*job->dataset_fingerprint && strcmp(fingerprint, job->dataset_fingerprint) != 0) ||
        (*job->dataset_stamp && strcmp(stamp, job->dataset_stamp) != 0))
        return nq_fail(
            err, NQ_ERR_INPUT,
            "the images of dataset %s changed since the job was submitted: submit it again",
            job->dataset_name);
    return nq_dataset_order(dataset, order, err);
}
