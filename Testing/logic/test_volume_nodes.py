"""A volume node is the core's volume: same voxels, same place, and changes are noticed."""

import numpy as np
import pytest
import slicer
import slicer.util
from scenes import ORIENTATIONS, PLACES, TRANSFORMS, add_volume, bend, put_under, world_of

from segvol_core.errors import VolumeError
from segvol_core.prompts import Point, Prompts, place
from SegVolLogic.errors import SceneError
from SegVolLogic.transforms import to_vtk
from SegVolLogic.volume_node import volume_of, volume_state


@pytest.mark.parametrize(("orientation", "transform"), PLACES)
def test_a_voxel_is_where_slicer_shows_it(scene, orientation, transform):
    node = add_volume(scene, orientation)
    put_under(scene, node, TRANSFORMS[transform])
    volume = volume_of(node)
    for ijk in [(0, 0, 0), (7, 6, 5), (2, 5, 1)]:
        np.testing.assert_allclose(volume.ras_of_ijk(ijk), world_of(node, ijk), atol=1e-4)


@pytest.mark.parametrize(("orientation", "transform"), PLACES)
def test_a_click_on_a_voxel_reaches_that_voxel(scene, orientation, transform):
    node = add_volume(scene, orientation)
    put_under(scene, node, TRANSFORMS[transform])
    canonical = volume_of(node).canonical()
    voxels = slicer.util.arrayFromVolume(node)
    for ijk in [(0, 0, 0), (7, 6, 5), (3, 1, 4)]:
        voxel = place(Prompts((Point(world_of(node, ijk)),)), canonical)
        i, j, k = ijk
        assert canonical.voxels[tuple(voxel.points_zyx[0])] == voxels[k, j, i]


def test_voxels_are_not_copied_and_cannot_be_written(scene):
    node = add_volume(scene)
    volume = volume_of(node)
    assert np.shares_memory(volume.voxels, slicer.util.arrayFromVolume(node))
    with pytest.raises(ValueError, match="read-only"):
        volume.voxels[0, 0, 0] = 1


def test_voxels_outlive_the_node(scene):
    node = add_volume(scene)
    expected = slicer.util.arrayFromVolume(node).copy()
    volume = volume_of(node)
    scene.Clear(0)
    del node
    np.testing.assert_array_equal(volume.voxels, expected)


def test_a_cropped_image_that_keeps_its_indices_is_in_its_place(scene):
    node = add_volume(scene)
    expected = world_of(node, (3, 4, 5))
    image = node.GetImageData()
    cropped = type(image)()
    cropped.SetExtent(2, 7, 1, 6, 3, 5)
    cropped.AllocateScalars(image.GetScalarType(), 1)
    node.SetAndObserveImageData(cropped)
    volume = volume_of(node)
    assert volume.shape_kji == (3, 6, 6)
    np.testing.assert_allclose(volume.ras_of_ijk((1, 3, 2)), expected)


def _window_level(node):
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(350, 40)
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeRainbow")
    display.GetOutputImageData()


def _voxels(node):
    slicer.util.arrayFromVolume(node)[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(node)


def _voxels_replaced(node):
    slicer.util.updateVolumeFromArray(node, slicer.util.arrayFromVolume(node).copy())


def _moved(node):
    node.SetOrigin(1, 2, 3)


def _other_spacing(node):
    node.SetSpacing(1, 2, 3)


def _under_transform(node):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetAndObserveTransformNodeID(transform.GetID())
    transform.SetMatrixTransformToParent(to_vtk(np.diag((2.0, 1, 1, 1))))


@pytest.mark.parametrize(
    "action", [_voxels, _voxels_replaced, _moved, _other_spacing, _under_transform]
)
def test_a_change_of_voxels_or_place_is_a_change(scene, action):
    node = add_volume(scene)
    before = volume_state(node)
    action(node)
    assert volume_state(node) != before


@pytest.mark.parametrize("action", [_window_level, lambda node: node.SetName("another")])
def test_a_change_of_looks_is_none(scene, action):
    node = add_volume(scene)
    before = volume_state(node)
    action(node)
    assert volume_state(node) == before


def _colour(scene):
    return slicer.util.addVolumeFromArray(
        np.zeros((4, 5, 6, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode"
    )


def _label_map(scene):
    return slicer.util.addVolumeFromArray(
        np.zeros((4, 5, 6), np.uint8), nodeClassName="vtkMRMLLabelMapVolumeNode"
    )


def _bent(scene):
    node = add_volume(scene)
    bend(scene, node)
    return node


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda scene: None, "Choose a CT"),
        (lambda scene: scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"), "no voxels"),
        (lambda scene: scene.AddNewNodeByClass("vtkMRMLModelNode", "model"), "not a volume"),
        (_colour, "colour image"),
        (_label_map, "label map"),
        (_bent, "bends space"),
    ],
)
def test_what_is_no_ct_volume_is_refused_with_a_sentence(scene, make, sentence):
    with pytest.raises(SceneError, match=sentence):
        volume_of(make(scene))


def test_a_transform_that_flattens_space_is_refused(scene):
    node = add_volume(scene, ORIENTATIONS["axial"])
    put_under(scene, node, [np.diag((1.0, 1.0, 0.0, 1.0))])
    with pytest.raises((SceneError, VolumeError), match="invert"):
        volume_of(node)
