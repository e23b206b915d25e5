"""The network gives the published code's numbers (``Testing/data``, see its README)."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from published_figures import DATA, drawn_model
from small_config import SMALL

from segvol_core.model.config import PUBLISHED, SegVolConfig
from segvol_core.model.prompt_priors import PromptPriors
from segvol_core.model.segvol import SegVol
from segvol_core.model.tokenizer import ClipTokenizer

BOX = torch.tensor([[5.0, 60, 40, 20, 150, 180]])
POINTS = (torch.tensor([[[10.0, 100, 120], [20, 50, 60]]]), torch.tensor([[1.0, 0]]))
PROMPTS = {
    "text": {"text": ["left kidney"]},
    "box": {"boxes": BOX},
    "points": {"points": POINTS},
    "text_box": {"text": ["liver"], "boxes": BOX},
    "box_points": {"boxes": BOX, "points": POINTS},
}
NAMES = ["liver", "left kidney", "pancreatic tumor", "L5 vertebra", "portal vein and splenic vein"]


@pytest.fixture(scope="module")
def published() -> SegVol:
    return drawn_model(PUBLISHED)


@pytest.fixture(scope="module")
def figures() -> dict[str, np.ndarray]:
    return dict(np.load(DATA / "forward_full_size.npz"))


@pytest.fixture(scope="module")
def embedding(published: SegVol) -> torch.Tensor:
    window = np.random.default_rng(7).random((1, 1, 32, 256, 256), dtype=np.float32)
    with torch.inference_mode():
        return published.image_encoder(torch.from_numpy(window))


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_the_network_has_the_published_tensors() -> None:
    with torch.device("meta"):
        ours = {key: list(tensor.shape) for key, tensor in SegVol().state_dict().items()}
    assert ours == json.loads((DATA / "state_dict_keys.json").read_text())


def test_the_image_embedding_is_the_published_one(
    embedding: torch.Tensor, figures: dict[str, np.ndarray]
) -> None:
    tokens = embedding.flatten(2).transpose(1, 2)[0, ::64]
    assert_close(tokens.numpy(), figures["embedding_every_64th_token"])


@pytest.mark.parametrize("kind", PROMPTS)
def test_the_mask_logits_are_the_published_ones(
    kind: str, published: SegVol, embedding: torch.Tensor, figures: dict[str, np.ndarray]
) -> None:
    prompt = dict(PROMPTS[kind])
    text = prompt.pop("text", None)
    with torch.inference_mode():
        vector = None if text is None else published.text_encoder(text)
        logits = published.upscale(published.decode(embedding, text_embedding=vector, **prompt))
    assert_close(logits[0, 0, ::4, ::8, ::8].numpy(), figures[f"logits_{kind}"])


def test_organ_names_are_embedded_as_published(
    published: SegVol, figures: dict[str, np.ndarray]
) -> None:
    with torch.inference_mode():
        vectors = published.text_encoder(NAMES)
    assert_close(vectors.numpy(), figures["text_embeddings"])


def test_sentences_are_tokenised_as_clip_does() -> None:
    tokenizer = ClipTokenizer(vocabulary=49408, positions=77)
    for name, ids in json.loads((DATA / "token_ids.json").read_text()).items():
        assert tokenizer(f"A computerized tomography of a {name}.") == ids


def test_prompts_in_one_batch_equal_prompts_one_by_one(small: SegVol) -> None:
    image = torch.rand(1, 1, *small.config.window)
    names = ["liver", "portal vein and splenic vein"]
    with torch.inference_mode():
        embedded = small.image_encoder(image)
        together = small.decode(embedded, text_embedding=small.text_encoder(names))
        alone = [small.decode(embedded, text_embedding=small.text_encoder([n])) for n in names]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_a_window_that_patches_do_not_fill_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of patch"):
        SegVolConfig(window=(30, 256, 256))


def test_a_configuration_survives_being_stored_as_json() -> None:
    config = SegVolConfig(window=(8, 64, 64), spacing_mm=(3.0, 2.0, 2.0))
    assert SegVolConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


WINDOW, EMBEDDING = torch.zeros(1, *SMALL.window), torch.zeros(1, 48, 2, 4, 4)


def test_voxels_as_bright_as_what_was_clicked_are_likely_and_others_not() -> None:
    priors = PromptPriors(replace(SMALL, prompt_priors=True))
    image = torch.full((1, *SMALL.window), 0.2)
    image[:, :, :, 16:] = 0.8
    points = (
        torch.tensor([[[4.0, 16, 4]], [[4, 16, 28]], [[4, 16, 28]]]),
        torch.tensor([[1.0], [1], [-1]]),
    )
    with torch.inference_mode():
        maps = priors.draw(image, EMBEDDING, points=points)
    likeness, gated = maps[:, 7], maps[:, 8]
    assert likeness[0, :, :, :7].min() > 0.2
    assert likeness[0, :, :, 9:].max() < -0.2
    assert likeness[1, :, :, 9:].min() > 0.2
    assert likeness[1, :, :, :7].max() < -0.2
    assert gated[0].abs().max() <= likeness[0].abs().max()
    assert likeness[2].abs().max() == 0


def test_a_box_is_worth_its_ellipsoid_to_a_network_with_priors() -> None:
    priors = PromptPriors(replace(SMALL, prompt_priors=True))
    box = torch.tensor([[1.0, 8, 4, 6, 23, 27]])
    with torch.inference_mode():
        maps = priors.draw(WINDOW, EMBEDDING, boxes=box)
    level, outside = maps[0, 0], maps[0, 1]
    assert maps.shape == (1, 9, 8, 16, 16)
    assert level[4, 8, 8] > 0.8  # its middle: the cells of the logits are 1 x 2 x 2 voxels
    assert level[0, 0, 0] < 0
    inside = outside == 0
    assert inside.any(dim=(1, 2)).nonzero().flatten().tolist() == [1, 2, 3, 4, 5, 6]
    assert inside.any(dim=(0, 2)).nonzero().flatten().tolist() == list(range(4, 12))
    assert inside.any(dim=(0, 1)).nonzero().flatten().tolist() == list(range(2, 14))
    assert maps[0, 2:7].abs().max() == 0


def test_a_coarse_mask_says_where_to_look_instead_of_its_box_in_the_window() -> None:
    priors = PromptPriors(replace(SMALL, prompt_priors=True))
    box = torch.tensor([[0.0, 0, 0, 7, 31, 31]])
    coarse = torch.full((1, *SMALL.window), -40.0)
    coarse[:, :, :16] = 1.0
    with torch.inference_mode():
        maps = priors.draw(WINDOW, EMBEDDING, boxes=box, coarse=coarse)
    assert (maps[0, 0, :, :7] == 0.5).all()
    assert (maps[0, 0, :, 9:] == -4).all()


def test_clicks_are_near_themselves_by_their_label() -> None:
    priors = PromptPriors(replace(SMALL, prompt_priors=True))
    points = torch.tensor([[[2.0, 4, 4], [6, 28, 28], [0, 0, 0]]]), torch.tensor([[1.0, 0, -1]])
    with torch.inference_mode():
        maps = priors.draw(WINDOW, EMBEDDING, points=points)[0]
    positive, negative = maps[2], maps[4]
    assert min(positive[2, 2, 2], negative[6, 14, 14]) > 0.9
    assert max(positive[6, 14, 14], negative[2, 2, 2]) < 0.1


def test_a_network_with_priors_answers_every_combination_of_prompts() -> None:
    torch.manual_seed(0)
    model = SegVol(replace(SMALL, prompt_priors=True)).eval()
    image = torch.rand(2, 1, *SMALL.window)
    points = torch.tensor([[[2.0, 4, 4]]] * 2), torch.ones(2, 1)
    box, text = torch.tensor([[1.0, 8, 4, 6, 23, 27]] * 2), ["liver", "spleen"]
    with torch.inference_mode():
        for given in range(1, 8):
            logits = model(
                image,
                points=points if given & 1 else None,
                boxes=box if given & 2 else None,
                text=text if given & 4 else None,
            )
            assert logits.shape == (2, 1, *SMALL.window)
            assert logits.isfinite().all()
