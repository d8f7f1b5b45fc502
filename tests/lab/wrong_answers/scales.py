"""Plausible wrong answers to the exercises of notebook 10, and what each must be told."""

import numpy as np


def strided(image, factor):
    ny, nx = (n // factor for n in image.shape)
    return image[: ny * factor : factor, : nx * factor : factor]


def sums(image, factor):
    rows = np.add.reduceat(image, range(0, image.shape[0] // factor * factor, factor), axis=0)
    if image.shape[0] % factor:
        rows[-1] = image[
            image.shape[0] // factor * factor - factor : image.shape[0] // factor * factor
        ].sum(0)
    nx = image.shape[1] // factor
    return rows[:, : nx * factor].reshape(len(rows), nx, factor).sum(axis=-1)


def divided_once(image, factor):
    return sums(image, factor) / factor


def brightest(image, factor):
    ny, nx = (n // factor for n in image.shape)
    tiles = image[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor)
    return np.amax(np.amax(tiles, axis=3), axis=1)


def one_axis(image, factor):
    ny = image.shape[0] // factor
    return image[: ny * factor].reshape(ny, factor, -1).mean(axis=1)


def strided_to_the_end(image, factor):
    return image[::factor, ::factor]


def median(image, factor):
    ny, nx = (n // factor for n in image.shape)
    tiles = image[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor)
    return np.median(tiles, axis=(1, 3))


def rows_then_strided(image, factor):
    ny, nx = (n // factor for n in image.shape)
    rows = image[: ny * factor, : nx * factor].reshape(ny, factor, -1).mean(axis=1)
    return rows[:, ::factor]


def beginning_left_out(image, factor):
    ny, nx = (n // factor for n in image.shape)
    kept = image[image.shape[0] - ny * factor :, image.shape[1] - nx * factor :]
    return kept.reshape(ny, factor, nx, factor).mean(axis=(1, 3))


def over_the_blocks(image, factor):
    ny, nx = (n // factor for n in image.shape)
    return image[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor).mean(axis=(0, 2))


def wrong_axes(image, factor):
    ny, nx = (n // factor for n in image.shape)
    return image[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor).mean((1, 2))


def not_averaged(image, factor):
    ny, nx = (n // factor for n in image.shape)
    return image[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor)


def mixed_up(image, factor):
    ny, nx = (n // factor for n in image.shape)
    blocks = image[: ny * factor, : nx * factor].reshape(factor, ny, factor, nx)
    return blocks.mean(axis=(0, 2))


def small_kernel(estimate, shrink, blur, noise):
    return np.stack([noise(shrink(blur(estimate))), shrink(estimate)])


def shrunken_last(estimate, shrink, blur, noise):
    measured = noise(blur(estimate))
    return np.stack([shrink(measured), shrink(estimate)])


def noise_first(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    return np.stack([blur(noise(truth)), truth])


def no_noise(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    return np.stack([blur(truth), truth])


def no_blur(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    return np.stack([noise(truth), truth])


def exchanged(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    return np.stack([truth, noise(blur(truth))])


def blurred_truth(estimate, shrink, blur, noise):
    truth = blur(shrink(estimate))
    return np.stack([noise(truth), truth])


def not_shrunken(estimate, shrink, blur, noise):
    return np.stack([noise(blur(estimate)), estimate])


def noise_twice(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    return np.stack([noise(blur(noise(truth))), truth])


def shrunken_twice(estimate, shrink, blur, noise):
    truth = shrink(shrink(estimate))
    return np.stack([noise(blur(truth)), truth])


def joined(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    return np.concatenate([noise(blur(truth)), truth])


def stacked_last(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    return np.stack([noise(blur(truth)), truth], axis=-1)


def input_alone(estimate, shrink, blur, noise):
    return noise(blur(shrink(estimate)))


def what_was_removed(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    seen = noise(blur(truth))
    return np.stack([seen, truth - seen])


def last_blocks_kept(image, factor):
    ny, nx = (-(-n // factor) for n in image.shape)
    rows = [image[i * factor : (i + 1) * factor] for i in range(ny)]
    return np.array(
        [[row[:, j * factor : (j + 1) * factor].mean() for j in range(nx)] for row in rows]
    )


def every_second_pixel(estimate, shrink, blur, noise):
    return np.stack([noise(blur(shrink(estimate))), estimate[::2, ::2]])


BANK = {
    "shrink": [
        (last_blocks_kept, "at the end are kept"),
        (strided, "every factor-th pixel"),
        (sums, "the blocks are added up"),
        (divided_once, "divided along one"),
        (brightest, "brightest pixel"),
        (one_axis, "the columns are all left"),
        (strided_to_the_end, "not complete"),
        (median, "the median"),
        (rows_then_strided, "the columns only thinned out"),
        (beginning_left_out, "at the beginning"),
        (over_the_blocks, "mean of all blocks"),
        (wrong_axes, "one axis of the blocks and one of the image"),
        (not_averaged, "four axes"),
        (mixed_up, "blocks are mixed up"),
    ],
    "training_pair": [
        (every_second_pixel, "make it by `shrink`"),
        (small_kernel, "the kernel is smaller"),
        (shrunken_last, "averaged away"),
        (noise_first, "after the optics"),
        (no_noise, "trust every pixel"),
        (no_blur, "denoise only"),
        (exchanged, "exchanged"),
        (blurred_truth, "the truth is blurred"),
        (not_shrunken, "keeps its size"),
        (noise_twice, "added twice"),
        (shrunken_twice, "once more"),
        (joined, "joined along y"),
        (stacked_last, "along the last axis"),
        (input_alone, "only the input"),
        (what_was_removed, "what blur and noise removed"),
    ],
}
