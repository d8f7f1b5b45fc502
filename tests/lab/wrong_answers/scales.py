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


BANK = {
    "shrink": [
        (strided, "every factor-th pixel"),
        (sums, "the blocks are added up"),
        (divided_once, "divided along one"),
        (brightest, "brightest pixel"),
        (one_axis, "Wrong shape"),
    ],
    "training_pair": [
        (small_kernel, "the kernel is smaller"),
        (shrunken_last, "averaged away"),
        (noise_first, "after the optics"),
        (no_noise, "trust every pixel"),
        (no_blur, "denoise only"),
        (exchanged, "exchanged"),
        (blurred_truth, "the truth is blurred"),
    ],
}
