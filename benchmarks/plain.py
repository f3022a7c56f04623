"""The published training recipe in plain eager PyTorch, the yardstick of training.py and of the
tests of imported weights: no code of vdiff is used here.

A DataLoader with a transform per image, swish as sigmoid(x) x, attention by explicit products,
contiguous memory, Adam one tensor at a time. Parameters carry the names of the authors' code.
"""

import math

import torch
from torch import nn


def swish(x):
    return torch.sigmoid(x) * x


class Swish(nn.Module):
    def forward(self, x):
        return swish(x)


def conv(cin, cout, size=3, stride=1):
    return nn.Conv2d(cin, cout, size, stride, padding=size // 2)


def norm(c):
    return nn.GroupNorm(32, c, eps=1e-6)


class Residual(nn.Module):
    def __init__(self, cin, cout, ctime):
        super().__init__()
        self.temb_proj = nn.Linear(ctime, cout)
        self.norm1, self.conv1 = norm(cin), conv(cin, cout)
        self.norm2, self.conv2 = norm(cout), conv(cout, cout)
        self.shortcut = conv(cin, cout, size=1) if cin != cout else nn.Identity()

    def forward(self, x, time):
        h = self.conv1(swish(self.norm1(x)))
        h = h + self.temb_proj(swish(time))[:, :, None, None]
        return self.shortcut(x) + self.conv2(swish(self.norm2(h)))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = norm(c)
        self.attn_q, self.attn_k, self.attn_v = (conv(c, c, size=1) for _ in range(3))
        self.proj_out = conv(c, c, size=1)

    def forward(self, x, time):
        h = self.norm(x)
        q, k, v = (p(h).flatten(2) for p in (self.attn_q, self.attn_k, self.attn_v))  # (B, C, HW)
        weights = torch.softmax(torch.bmm(q.transpose(1, 2), k) / math.sqrt(x.shape[1]), -1)
        return x + self.proj_out(torch.bmm(v, weights.transpose(1, 2)).view(x.shape))


class TimeNet(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels
        self.main = nn.Sequential(
            nn.Linear(channels, 4 * channels), Swish(), nn.Linear(4 * channels, 4 * channels)
        )

    def forward(self, s):
        half = self.channels // 2
        k = torch.arange(half, device=s.device)
        angle = s[:, None] * torch.exp(-math.log(10000) / (half - 1) * k)
        return self.main(torch.cat([torch.sin(angle), torch.cos(angle)], 1))


class PlainUNet(nn.Module):
    def __init__(self, image_channels, height, channels, multipliers, blocks=2, attention=(16,)):
        super().__init__()
        self.attention, ctime, levels = attention, 4 * channels, len(multipliers)
        self.temb_net, self.begin_conv = TimeNet(channels), conv(image_channels, channels)
        c, widths, down, up = channels, [channels], [], []
        for i, multiplier in enumerate(multipliers):
            stage = {}
            for j in range(blocks):
                stage[f"{i}a_{j}a_block"] = Residual(c, channels * multiplier, ctime)
                c = channels * multiplier
                if height in attention:
                    stage[f"{i}a_{j}b_attn"] = Attention(c)
                widths.append(c)
            if i < levels - 1:
                stage[f"{i}b_downsample"] = conv(c, c, stride=2)
                height //= 2
                widths.append(c)
            down.append(nn.ModuleDict(stage))
        self.mid_modules = nn.ModuleList(
            [Residual(c, c, ctime), Attention(c), Residual(c, c, ctime)]
        )
        for i in reversed(range(levels)):
            stage = {}
            for j in range(blocks + 1):
                stage[f"{i}a_{j}a_block"] = Residual(
                    c + widths.pop(), channels * multipliers[i], ctime
                )
                c = channels * multipliers[i]
                if height in attention:
                    stage[f"{i}a_{j}b_attn"] = Attention(c)
            if i > 0:
                upsample = nn.Sequential()
                upsample.add_module("up_nn", nn.Upsample(scale_factor=2, mode="nearest"))
                upsample.add_module("up_conv", conv(c, c))
                stage[f"{i}b_upsample"] = upsample
                height *= 2
            up.append(nn.ModuleDict(stage))
        self.down_modules, self.up_modules = nn.ModuleList(down), nn.ModuleList(up)
        self.end_conv = nn.Sequential(norm(c), Swish(), conv(c, image_channels))

    def forward(self, y, s):
        time = self.temb_net(s)
        h = self.begin_conv(y)
        skips = [h]
        for stage in self.down_modules:
            for name, module in stage.items():
                h = module(h) if name.endswith("downsample") else module(h, time)
                if name.endswith("attn"):
                    skips.pop()
                skips.append(h)
        for module in self.mid_modules:
            h = module(h, time)
        for stage in self.up_modules:
            for name, module in stage.items():
                if name.endswith("block"):
                    h = torch.cat([h, skips.pop()], 1)
                h = module(h) if name.endswith("upsample") else module(h, time)
        return self.end_conv(h)


def batches(images, batch_size, workers=1):
    """Training batches of uint8 images (N, C, H, W): a transform per image, then the logit."""
    from torchvision.transforms.functional import to_pil_image, to_tensor

    pictures = [to_pil_image(k) for k in images]

    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return len(pictures)

        def __getitem__(self, i):
            return to_tensor(pictures[i])

    loader = torch.utils.data.DataLoader(
        Data(), batch_size, shuffle=True, num_workers=workers, drop_last=True
    )
    while True:
        for x in loader:
            x = x * 255 / 256 + torch.rand_like(x) / 256
            x = 0.05 + 0.9 * x
            yield torch.log(x) - torch.log(1 - x)


def train(net, batches):
    """Steps of Adam, one for each batch that is asked for; their losses."""
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4, foreach=False)
    for x in batches:
        loss = dsm(net, x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield loss.item()


def dsm(net, x, beta_min=0.1, beta_max=20.0):
    """The loss of arXiv 2106.02808 at uniform times, as the authors' code has it."""
    s = torch.rand(len(x), device=x.device)
    B = beta_min * s + (beta_max - beta_min) * s**2 / 2
    m, var = torch.exp(-B / 2), 1 - torch.exp(-B)
    g = torch.sqrt(beta_min + (beta_max - beta_min) * s)
    eps = torch.randn_like(x)
    by_image = (slice(None), None, None, None)
    y = m[by_image] * x + torch.sqrt(var)[by_image] * eps
    a = net(y, s)
    return ((a * (torch.sqrt(var) / g)[by_image] + eps) ** 2).sum((1, 2, 3)).mean() / 2
