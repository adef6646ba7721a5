/*
 * Calibration images that several jobs have in common: made by the first, linked to by the others.
 *
 * The folder that job.json names holds KEY-CONTENT.npy. KEY is the SHA-256 of all that the images
 * depend on: this program, the checkpoint, spec.calibrate; CONTENT is the file's own. Files are
 * hard links to the jobs' artifacts, so that they take no room of their own.
 */
#ifndef NQ_WORKER_SHARED_IMAGES_H
#define NQ_WORKER_SHARED_IMAGES_H

#include "worker/job_file.h"

/*
 * Where the folder has the job's images, makes `path` (replaced if it exists) one of their names.
 * False where it has not, or where the job has no such folder. A file that is not what its name
 * says is removed. What goes wrong is logged: the job can do without.
 */
bool nq_shared_images_take(const nq_job_file *job, const char *path);

/* Puts the images at `path` into the folder. What goes wrong is logged. */
void nq_shared_images_keep(const nq_job_file *job, const char *path);

#endif
