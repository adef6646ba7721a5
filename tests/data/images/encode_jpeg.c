/*
 * The JPEG files that Pillow cannot write. Reads raw samples from stdin:
 *   encode_jpeg WIDTH HEIGHT COMPONENTS FILE_SPACE SAMPLING [progressive] [arithmetic] [scans]
 * [restart] FILE_SPACE: grey rgb ycc cmyk ycck unknown. SAMPLING: HxV of each component,
 * "2x1,1x1,1x1". scans: one scan a component. restart: a marker after every row of blocks. Writes
 * to stdout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

static J_COLOR_SPACE space_of(const char *name)
{
    static const struct {
        const char *name;
        J_COLOR_SPACE space;
    } spaces[] = {{"grey", JCS_GRAYSCALE}, {"rgb", JCS_RGB},   {"ycc", JCS_YCbCr},
                  {"cmyk", JCS_CMYK},      {"ycck", JCS_YCCK}, {"unknown", JCS_UNKNOWN}};
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
        if (strcmp(name, spaces[i].name) == 0)
            return spaces[i].space;
    exit(2);
}

static int has(int argc, char **argv, const char *word)
{
    for (int i = 6; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, stdout);
    c.image_width = (JDIMENSION)atoi(argv[1]);
    c.image_height = (JDIMENSION)atoi(argv[2]);
    c.input_components = atoi(argv[3]);
    static const J_COLOR_SPACE inputs[] = {0, JCS_GRAYSCALE, JCS_UNKNOWN, JCS_RGB, JCS_CMYK};
    c.in_color_space = inputs[c.input_components];
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, space_of(argv[4]));
    jpeg_set_quality(&c, 50, TRUE);
    char *sampling = argv[5];
    for (int i = 0; i < c.num_components; i++) {
        c.comp_info[i].h_samp_factor = atoi(sampling);
        c.comp_info[i].v_samp_factor = atoi(strchr(sampling, 'x') + 1);
        sampling = strchr(sampling, ',') ? strchr(sampling, ',') + 1 : sampling;
    }
    c.arith_code = has(argc, argv, "arithmetic");
    c.optimize_coding = !c.arith_code;
    if (has(argc, argv, "progressive"))
        jpeg_simple_progression(&c);
    if (has(argc, argv, "restart"))
        c.restart_in_rows = 1;
    static jpeg_scan_info scans[4];
    if (has(argc, argv, "scans")) {
        for (int i = 0; i < c.num_components; i++)
            scans[i] = (jpeg_scan_info){.comps_in_scan = 1, .component_index = {i}, .Se = 63};
        c.scan_info = scans;
        c.num_scans = c.num_components;
    }
    jpeg_start_compress(&c, TRUE);
    size_t bytes = (size_t)c.image_width * c.input_components;
    JSAMPROW row = malloc(bytes);
    while (c.next_scanline < c.image_height) {
        if (fread(row, 1, bytes, stdin) != bytes)
            return 1;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    free(row);
    return 0;
}
