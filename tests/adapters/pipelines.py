# SPDX-License-Identifier: Apache-2.0
"""diffusers' own pipelines with tiny random weights, made from configurations: no downloads."""

import diffusers
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

SIZE, WORDS = 16, 16
PROMPTS = ["a fox", "two hens in a barn"]


def quiet(pipe):
    """Without a progress bar."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pixels(name, scheduler):
    """Unconditional pipeline of a name: 3×8×8 images."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ).eval()  # fmt: skip
    return quiet(getattr(diffusers, name)(unet=unet, scheduler=scheduler))


def tokenizer():
    """CLIP's tokenizer with a vocabulary of letters."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(a + "</w>" for a in letters)]
    ids = {word: i for i, word in enumerate(words)}
    made = CLIPTokenizer(vocab=ids, merges=[], model_max_length=WORDS)
    assert made("ab").input_ids == [0, ids["a"], ids["b</w>"], 1]
    return made


def autoencoder(channels=4):
    """Latents of half the size."""
    torch.manual_seed(1)
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16), latent_channels=channels, norm_num_groups=2, sample_size=SIZE,
        shift_factor=0.1,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    ).eval()  # fmt: skip


def stable():
    """Stable Diffusion's shape: U-Net with cross-attention, autoencoder, CLIP text encoder."""
    torch.manual_seed(2)
    unet = diffusers.UNet2DConditionModel(
        sample_size=SIZE // 2, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8, attention_head_dim=2,
    ).eval()  # fmt: skip
    words = tokenizer()
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words), hidden_size=8, intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=WORDS, bos_token_id=0, eos_token_id=1,
            pad_token_id=1, projection_dim=8,
        )
    ).eval()  # fmt: skip
    scheduler = diffusers.PNDMScheduler.from_config(  # as published, clip_sample and all
        {
            "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
            "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1,
            "clip_sample": False,
        }
    )  # fmt: skip
    return quiet(
        diffusers.StableDiffusionPipeline(
            vae=autoencoder(), text_encoder=text, tokenizer=words, unet=unet, scheduler=scheduler,
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )
    )  # fmt: skip


def flux():
    """Flux's shape, whose prompts come as embeddings."""
    torch.manual_seed(3)
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=8, pooled_projection_dim=8,
        axes_dims_rope=(4, 4, 8),
    ).eval()  # fmt: skip
    return quiet(
        diffusers.FluxPipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3),
            vae=autoencoder(4), transformer=transformer, text_encoder=None, tokenizer=None,
            text_encoder_2=None, tokenizer_2=None,
        )
    )  # fmt: skip


def embeddings():
    """What Flux's text encoders would have returned for two prompts."""
    g = torch.Generator().manual_seed(4)
    return {
        "prompt_embeds": torch.randn(2, 6, 8, generator=g),
        "pooled_prompt_embeds": torch.randn(2, 8, generator=g),
    }
