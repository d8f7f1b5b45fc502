"""The kernels against stored ones, quadrature of the diffraction integrals, and laws of optics."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import j0

from siamdecon.microscope.psf import (
    Microscope,
    gaussian,
    gibson_lanni,
    paper_psf,
    psf_for,
    richards_wolf,
)

REFERENCE = Path(__file__).parents[1] / "reference"
MODELS = (gibson_lanni, richards_wolf, gaussian)


def scalar_intensity(m, r, z):
    """Gibson and Lanni's integral, transcribed and left to SciPy's adaptive quadrature."""
    k = 2 * np.pi / m.wavelength
    a = m.na * m.magnification / np.sqrt(m.magnification**2 + m.na**2)
    n_s = m.index if m.sample_index is None else m.sample_index

    def integrand(rho):
        immersion = np.sqrt(m.index**2 - m.na**2 * rho**2)
        sample = np.sqrt(n_s**2 - m.na**2 * rho**2)
        opd = z * immersion + m.depth * (sample - m.index / n_s * immersion)
        return j0(k * a * rho * r) * np.exp(1j * k * opd) * rho

    return abs(quad(integrand, 0, 1, complex_func=True, limit=500, epsabs=1e-12)[0]) ** 2


def vectorial_intensity(m, x, y, z):
    """Debye integral over the cap of plane waves of x and of y polarised light; no Bessel function."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    alpha = np.arcsin(m.na / m.index)
    theta = alpha / 2 * (nodes + 1)[:, None]
    phi = np.linspace(0, 2 * np.pi, 200, endpoint=False)[None, :]
    cos, sin = np.cos(theta), np.sin(theta)
    k = 2 * np.pi * m.index / m.wavelength
    wave = np.exp(1j * k * (sin * (x * np.cos(phi) + y * np.sin(phi)) + z * cos))
    wave = wave * np.sqrt(cos) * sin * weights[:, None]
    total = 0
    for polarisation in (0, np.pi / 2):  # refraction turns the field about the azimuthal direction
        p = np.cos(phi - polarisation)  # component in the plane of incidence
        s = -np.sin(phi - polarisation)
        field = (
            p * cos * np.cos(phi) - s * np.sin(phi),
            p * cos * np.sin(phi) + s * np.cos(phi),
            -p * sin,
        )
        total += sum(abs(np.sum(wave * component)) ** 2 for component in field)
    return total


def assert_proportional(kernel_values, oracle_values, tolerance=1e-9):
    values, oracle = np.array(kernel_values), np.array(oracle_values)
    np.testing.assert_allclose(values / values.max(), oracle / oracle.max(), rtol=0, atol=tolerance)


def rounded_radii(m):
    """What half a unit in the 9th digit of a radius, in um, changes: no spot is steeper than 2 k NA."""
    return 0.5e-9 * 2 * (2 * np.pi / m.wavelength) * m.na


def rms_radius(plane):
    y, x = np.indices(plane.shape) - plane.shape[0] // 2
    return np.sqrt(np.sum(plane * (x**2 + y**2)) / plane.sum())


# The paper's kernels


def test_paper_psf_2d_is_the_stored_one():
    stored = np.loadtxt(REFERENCE / "psf_2d.csv", delimiter=",")
    np.testing.assert_allclose(paper_psf(2), stored, rtol=0, atol=1e-6)


def test_paper_psf_3d_is_the_stored_one():
    np.testing.assert_allclose(paper_psf(3), np.load(REFERENCE / "psf_3d.npy"), rtol=0, atol=1e-6)


def test_paper_psf_2d_is_the_first_plane_of_the_stack():
    first = paper_psf(3)[0]
    np.testing.assert_allclose(paper_psf(2), first / first.sum(), rtol=0, atol=1e-14)


def test_paper_focus_falls_between_planes_7_and_8():
    stack = paper_psf(3)
    axis = stack[:, 8, 8]
    assert set(np.argsort(axis)[-2:]) == {7, 8}
    np.testing.assert_allclose(stack[:16], stack[15::-1], rtol=0, atol=1e-14)  # about 7.5
    assert np.abs(stack - stack[::-1]).max() > 0.001  # not about plane 8


def test_paper_psf_2d_is_a_ring_and_not_the_spot_of_the_centre_plane():
    blurred, spot = paper_psf(2), paper_psf(3)[8]
    assert rms_radius(blurred) == pytest.approx(3.67, abs=0.005)
    assert blurred[8, 8] < 0.05
    assert spot[8, 8] / spot.sum() == pytest.approx(0.83, abs=0.005)
    y, x = np.indices((17, 17)) - 8
    ring = [blurred[np.hypot(x, y).round() == r].sum() for r in range(9)]
    assert np.argmax(ring) > 1


# The scalar model


@pytest.mark.parametrize(
    "m",
    [
        Microscope(),
        Microscope(na=1.2, wavelength=0.5, pixel_size=0.1, z_step=0.3, magnification=60),
        Microscope(na=0.3, index=1.0, pixel_size=0.5, z_step=4.0, defocus=-7, magnification=4),
        Microscope(na=1.3, index=1.518, sample_index=1.33, depth=4.0, pixel_size=0.1),
        Microscope(na=0.8, sample_index=1.4, depth=30.0, defocus=1.3),
    ],
    ids=["paper", "water", "air", "oil over water", "water over tissue"],
)
def test_gibson_lanni_is_the_quadrature_of_its_integral(m):
    kernel = gibson_lanni(m, n_dim=3)
    at = [(plane, step) for plane in (0, 5, 8, 11, 16) for step in (0, 1, 2, 5, 8)]
    z = m.defocus + m.z_step * (np.arange(17) - 8)
    assert_proportional(
        [kernel[plane, 8, 8 + step] for plane, step in at],
        [scalar_intensity(m, step * m.pixel_size, z[plane]) for plane, step in at],
    )


def test_gibson_lanni_interpolates_linearly_between_half_pixels():
    m = Microscope(defocus=1.0, size=5)
    r = np.sqrt(2) * m.pixel_size  # the diagonal neighbour, between 2 and 3 half pixels
    near, far = (scalar_intensity(m, i * m.pixel_size / 2, m.defocus) for i in (2, 3))
    share = r / (m.pixel_size / 2) - 2
    kernel = gibson_lanni(m)
    expected = ((1 - share) * near + share * far) / scalar_intensity(m, 0, m.defocus)
    assert kernel[3, 3] / kernel[2, 2] == pytest.approx(expected, abs=rounded_radii(m))


def on_axis(m):
    return gibson_lanni(m, n_dim=3)[:, m.size // 2, m.size // 2]


def test_depth_in_a_mismatched_sample_moves_and_broadens_the_focus():
    optics = dict(na=1.3, index=1.518, sample_index=1.33, pixel_size=0.1, z_step=0.1, planes=81)
    matched, shallow, deep = (on_axis(Microscope(depth=d, **optics)) for d in (0.0, 5.0, 10.0))
    assert matched.argmax() == 40
    assert abs(deep.argmax() - 40) > abs(shallow.argmax() - 40) > 2
    width = [np.sum(axis > axis.max() / 2) for axis in (matched, shallow, deep)]
    assert width[0] < width[1] < width[2]


def test_depth_is_without_effect_where_the_indices_match():
    for sample_index in (None, 1.33):
        deep = Microscope(depth=50.0, sample_index=sample_index, defocus=1.0)
        np.testing.assert_allclose(
            gibson_lanni(deep), gibson_lanni(Microscope(defocus=1.0)), rtol=0, atol=1e-12
        )


# The vectorial model


@pytest.mark.parametrize("na", [0.4, 1.0, 1.3])
def test_richards_wolf_is_the_debye_integral_over_both_polarisations(na):
    m = Microscope(na=na, pixel_size=0.12, z_step=0.25, size=7, planes=5, defocus=0.1)
    kernel = richards_wolf(m, n_dim=3)
    at = [(p, y, x) for p in range(5) for y, x in ((3, 3), (3, 4), (2, 5), (0, 0), (6, 3))]
    z = m.z_positions(3)
    assert_proportional(
        [kernel[index] for index in at],
        [
            vectorial_intensity(m, (x - 3) * m.pixel_size, (y - 3) * m.pixel_size, z[p])
            for p, y, x in at
        ],
        rounded_radii(m),
    )


def test_richards_wolf_becomes_the_scalar_model_as_the_aperture_shrinks():
    deviation = []
    for na in (0.4, 0.2, 0.1):  # lengths scale with the spot: wavelength / NA and / NA^2
        m = Microscope(na=na, pixel_size=0.1 / na, z_step=0.3 / na**2, planes=5, magnification=1e6)
        scalar, vectorial = gibson_lanni(m, 3)[:, 8, 8:], richards_wolf(m, 3)[:, 8, 8:]
        deviation.append(np.abs(scalar / scalar.max() - vectorial / vectorial.max()).max())
    assert deviation[-1] < 2e-3
    assert deviation[0] > 3 * deviation[1] > 9 * deviation[2]  # second order in NA


def test_richards_wolf_sends_the_same_light_through_every_plane():
    # 65 pixels of 0.2 um hold all but 0.1 % of the light of planes up to 0.8 um from the focus
    light = richards_wolf(Microscope(na=1.2, pixel_size=0.2, size=65, planes=5), 3).sum((1, 2))
    np.testing.assert_allclose(light, light.mean(), rtol=2e-3)


def test_richards_wolf_ignores_depth_and_magnification():
    m = Microscope(defocus=1.0, depth=5.0, sample_index=1.4, magnification=2.0)
    np.testing.assert_array_equal(richards_wolf(m), richards_wolf(Microscope(defocus=1.0)))


# The Gaussian


@pytest.mark.parametrize(("na", "index"), [(0.05, 1.0), (0.1, 1.33)])
def test_gaussian_has_the_curvature_of_the_paraxial_spot(na, index):
    # one step of 2 % of a wavelength / NA; z likewise
    m = Microscope(
        na=na,
        index=index,
        pixel_size=0.02 * 0.6 / na,
        z_step=0.02 * 0.6 * index / na**2,
        size=3,
        planes=3,
        magnification=1e6,
    )
    spot, approximation = gibson_lanni(m, 3), gaussian(m, 3)
    for neighbour in ((1, 1, 0), (0, 1, 1)):
        drop, expected = (np.log(k[neighbour] / k[1, 1, 1]) for k in (approximation, spot))
        assert drop == pytest.approx(expected, rel=5e-3)


def test_gaussian_has_the_published_widths():
    # Zhang et al. 2007, paraxial: 0.225 wavelength / NA, and 0.78 n wavelength / NA^2
    m = Microscope(
        na=0.5, wavelength=0.5, index=1.5, size=41, planes=81, pixel_size=0.1, z_step=0.5
    )
    kernel = gaussian(m, 3)
    y = m.pixel_size * (np.arange(41) - 20)
    z = m.z_step * (np.arange(81) - 40)
    assert np.sqrt(kernel.sum((0, 2)) @ y**2) == pytest.approx(0.225 * 0.5 / 0.5, rel=1e-3)
    assert np.sqrt(kernel.sum((1, 2)) @ z**2) == pytest.approx(0.78 * 1.5 * 0.5 / 0.25, rel=1e-3)


def test_gaussian_2d_is_the_spot_in_focus_whatever_the_defocus():
    np.testing.assert_array_equal(gaussian(Microscope(defocus=3.0)), gaussian(Microscope()))
    centre = gaussian(Microscope(), 3)[8]
    np.testing.assert_allclose(gaussian(Microscope()), centre / centre.sum(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("defocus", [-100.0, 50.0, 100.0])
def test_gaussian_far_from_the_focus_is_its_nearest_plane(defocus):
    psf = gaussian(Microscope(defocus=defocus), 3)
    assert np.isfinite(psf).all() and psf.sum() == pytest.approx(1)
    nearest = 0 if defocus > 0 else -1
    np.testing.assert_allclose(psf[nearest] / psf[nearest].sum(), gaussian(Microscope(), 2))


def test_gaussian_3d_follows_the_defocus():
    assert gaussian(Microscope(defocus=2 * 0.406), 3).sum((1, 2)).argmax() == 6


# All models


microscopes = st.builds(
    Microscope,
    na=st.floats(0.05, 0.95),
    wavelength=st.floats(0.4, 0.9),
    index=st.floats(1.0, 1.6),
    pixel_size=st.floats(0.05, 0.5),
    z_step=st.floats(0.05, 1.0),
    size=st.integers(0, 5).map(lambda n: 2 * n + 1),
    planes=st.integers(0, 3).map(lambda n: 2 * n + 1),
    magnification=st.floats(4, 100),
    sample_index=st.none() | st.floats(1.0, 1.6),
    depth=st.floats(0, 10),
)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=40, deadline=None)
@given(m=microscopes)
def test_kernels_are_distributions_and_round(model, m):
    kernel = model(m, 3)
    assert kernel.shape == (m.planes, m.size, m.size) and kernel.dtype == np.float64
    assert kernel.min() >= 0 and kernel.sum() == pytest.approx(1)
    for turned in (kernel[:, ::-1], kernel[:, :, ::-1], kernel.swapaxes(1, 2)):
        np.testing.assert_allclose(turned, kernel, rtol=0, atol=1e-14)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=40, deadline=None)
@given(m=microscopes)
def test_kernels_are_alike_above_and_below_the_focus(model, m):
    kernel = model(replace(m, depth=0.0), 3)
    np.testing.assert_allclose(kernel[::-1], kernel, rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", [gibson_lanni, richards_wolf])
def test_2d_kernel_is_the_centre_plane_of_the_stack(model):
    m = Microscope(defocus=1.7)
    centre = model(m, 3)[8]
    np.testing.assert_allclose(model(m, 2), centre / centre.sum(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", [*MODELS, lambda m, n_dim: paper_psf(n_dim)])
@pytest.mark.parametrize("n_dim", [0, 1, 4, None])
def test_other_numbers_of_axes_are_refused(model, n_dim):
    with pytest.raises(ValueError, match="n_dim: expected 2 or 3"):
        model(Microscope(), n_dim)


# The microscope


def test_positions_of_planes_and_pixels():
    m = Microscope(pixel_size=0.5, z_step=2.0, size=3, planes=5, defocus=1.0)
    assert m.z_positions(3).tolist() == [-3.0, -1.0, 1.0, 3.0, 5.0]
    assert m.z_positions(2).tolist() == [1.0]
    assert m.radii()[1].tolist() == [0.5, 0.0, 0.5]
    assert m.radii()[0, 0] == pytest.approx(np.sqrt(0.5))


REALS = (
    *("na", "wavelength", "index", "pixel_size", "z_step"),
    *("defocus", "magnification", "sample_index", "depth"),
)
POSITIVE = ("na", "wavelength", "index", "pixel_size", "z_step", "magnification", "sample_index")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in REALS for value in (np.nan, np.inf, -np.inf, True, "0.9")),
        *((field, None) for field in REALS if field != "sample_index"),
        *((field, value) for field in POSITIVE for value in (0, 0.0, -1.2)),
        *((field, 0.99) for field in ("index", "sample_index")),
        *(("na", value) for value in (1.33, 1.4)),
        ("depth", -0.1),
        *(
            (field, value)
            for field in ("size", "planes")
            for value in (0, -1, 2, 16, 17.0, 16.5, np.nan, "17", None, True)
        ),
    ],
)
def test_impossible_fields_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        Microscope(**{field: value})


def test_aperture_beyond_the_sample_index_is_refused():
    with pytest.raises(ValueError, match=r"^na: expected .*1\.33, got 1\.4"):
        Microscope(na=1.4, index=1.518, sample_index=1.33)
    Microscope(na=1.4, index=1.518)


def test_planes_that_would_take_minutes_are_refused_with_the_step_that_is_wrong():
    """99 um with a wavelength of 0.1 um: the integral had 71 000 nodes, and took 20 s."""
    with pytest.raises(ValueError, match=r"^z_step: expected .*62\.5 um.* got 99 um .*of 0\.1 um"):
        Microscope(wavelength=0.1, z_step=99)
    Microscope(wavelength=0.1, z_step=62.5)
    Microscope(wavelength=0.1, z_step=99, planes=1)


def test_numpy_numbers_are_accepted():
    m = Microscope(
        na=np.float32(0.5), size=np.int64(5), planes=np.int8(3), sample_index=np.float64(1.4)
    )
    assert gibson_lanni(m, 3).shape == (3, 5, 5)


@pytest.mark.parametrize(
    "m",
    [
        Microscope(na=1.4, wavelength=0.52, index=1.518, pixel_size=0.065),
        Microscope(na=1.2, wavelength=0.52, pixel_size=0.1, defocus=3.0),
    ],
)
def test_a_kernel_is_as_large_as_its_light_asks_for(m):
    """image.sc 10349: 17 pixels lost up to 89 % of it. The oracle is a kernel of 401 pixels."""
    psf, lost = psf_for((255, 255), m)
    side, wide = psf.shape[0], gibson_lanni(replace(m, size=401))
    inside = slice(200 - side // 2, 201 + side // 2)
    # of 255 pixels' light; rings beyond them hold some thousandths
    assert 1 - wide[inside, inside].sum() == pytest.approx(lost, abs=3e-3)
    assert lost < 0.01
    assert psf_for((300, 300), m, share=1.0)[0].shape == (
        255,
        255,
    )  # a sum that rounding left below 1
    small, lost = psf_for((41, 41), m)
    assert small.shape == (41, 41) and lost > 0.01


@pytest.mark.parametrize(
    ("m", "all_of_them"),
    [
        (Microscope(na=1.4, wavelength=0.52, index=1.518, pixel_size=0.065, z_step=0.3), False),
        (Microscope(na=0.4, wavelength=0.6, index=1.0, pixel_size=0.4, z_step=0.1), True),
    ],
)
@pytest.mark.parametrize("stack", [61, 60])
def test_a_kernel_goes_on_along_z_as_far_as_its_light(m, all_of_them, stack):
    """17 planes of the second end where the light on the axis is at 96 % of its peak."""
    psf, _ = psf_for((stack, 48, 48), m)
    axis = gibson_lanni(replace(m, size=1, planes=301), 3).ravel()
    beyond = axis[: 150 - len(psf) // 2] / axis.max()
    assert (len(psf) == stack - (stack + 1) % 2) == all_of_them
    assert all_of_them or beyond.max() < 0.002 < axis[150 - len(psf) // 2] / axis.max()
    assert psf_for((stack, 48, 48), m, planes=5, size=7)[0].shape == (5, 7, 7)


@pytest.mark.parametrize("model", [gibson_lanni, gaussian])
def test_a_kernel_of_planes_far_apart_has_three(model):
    """With one plane, as bright as 500 of its neighbours, it would be none for a volume."""
    m = Microscope(na=1.4, wavelength=0.52, index=1.518, pixel_size=0.2, z_step=6)
    assert psf_for((20, 48, 48), m, model)[0].shape[0] == 3
    assert psf_for((1, 48, 48), m, model)[0].shape[0] == 1


@pytest.mark.parametrize("name", ["index", "sample_index"])
def test_no_medium_has_such_an_index(name):
    """A quadrature of 54 GB."""
    with pytest.raises(ValueError, match=f"{name}: expected a refractive index of 1 to 5"):
        Microscope(**{name: 1e9})
