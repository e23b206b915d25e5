"""The same three made CTs as folders of every layout; each function writes one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from made_cts import ORGANS, two_organs, write_image, write_named_folder
from scipy import sparse


def label_maps(folder: Path) -> None:
    """CTs and label maps, described by a dataset.yaml."""
    write_named_folder(folder)


def files_per_structure(folder: Path) -> None:
    """CTs and a file per structure, described by a dataset.yaml."""
    for index in range(3):
        voxels, labels = two_organs(index)
        write_image(voxels.astype(np.int16), folder / f"case{index}" / "ct.nrrd")
        for name, value in ORGANS.items():
            mask = (labels == value).astype(np.uint8)
            write_image(mask, folder / f"case{index}" / "segmentations" / f"{name}.nii.gz")
    (folder / "dataset.yaml").write_text(
        'image: "{case}/ct.nrrd"\nmasks: "{case}/segmentations/{structure}.nii.gz"\n'
    )


def decathlon(folder: Path) -> None:
    """A task of the Medical Segmentation Decathlon."""
    write_named_folder(folder)
    (folder / "dataset.yaml").unlink()
    for index in range(3):
        _, labels = two_organs(index)
        write_image(labels, folder / "labelsTr" / f"case{index}.nii.gz")
    cases = [
        {"image": f"./images/case{i}.nii.gz", "label": f"./labelsTr/case{i}.nii.gz"}
        for i in range(3)
    ]
    labels = {"0": "background", "1": "liver", "2": "spleen"}
    description = {"modality": {"0": "CT"}, "labels": labels, "training": cases}
    (folder / "dataset.json").write_text(json.dumps(description))


def nnunet(folder: Path) -> None:
    """Raw data of nnU-Net, version 2."""
    for index in range(3):
        voxels, labels = two_organs(index)
        write_image(voxels.astype(np.int16), folder / "imagesTr" / f"case{index}_0000.nrrd")
        write_image(labels, folder / "labelsTr" / f"case{index}.nrrd")
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **ORGANS},
        "numTraining": 3,
        "file_ending": ".nrrd",
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def index_json(folder: Path) -> None:
    """This project's own list of cases."""
    write_named_folder(folder)
    (folder / "dataset.yaml").unlink()
    cases = [
        {
            "case": f"case{i}", "split": "train", "image": f"images/case{i}.nii.gz",
            "labels": f"labels/case{i}.nrrd", "label_map": ORGANS,
        }
        for i in range(3)
    ]  # fmt: skip
    (folder / "index.json").write_text(json.dumps(cases))


def m3d_seg(folder: Path) -> None:
    """One data set of M3D-Seg; its third case is for validation."""
    entries = []
    for index in range(3):
        voxels, labels = two_organs(index)
        case = folder / "0099" / f"case{index}"
        case.mkdir(parents=True)
        normalised = (voxels - voxels.mean()) / voxels.std()
        np.save(case / "image.npy", normalised.transpose(2, 1, 0)[None].astype(np.float32))
        masks = np.stack([labels == value for value in ORGANS.values()]).astype(np.int32)
        masks = masks.transpose(0, 3, 2, 1)
        name = f"mask_{masks.shape}.npz"
        sparse.save_npz(case / name, sparse.csr_matrix(masks.reshape(len(ORGANS), -1)))
        stated = f"/data/M3D_Seg/0099/case{index}"
        entries.append({"image": f"{stated}/image.npy", "label": f"{stated}/{name}"})
    labels = {"0": "background", "1": "liver", "2": "spleen"}
    description = {"labels": labels, "train": entries[:2], "test": entries[2:]}
    (folder / "0099" / "0099.json").write_text(json.dumps(description))


LAYOUTS = [label_maps, files_per_structure, decathlon, nnunet, index_json, m3d_seg]
