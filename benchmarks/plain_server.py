"""The rival of benchmarks/serving.py: Flask and PyTorch, one image at a time, as tutorials show it.

It loads the weights of the same network, decodes with Pillow, prepares as the bundle asks, and
answers with the probabilities. Run by the benchmark; needs flask and torch.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flask import Flask, jsonify, request
from PIL import Image
from werkzeug.serving import make_server

from morphoscope.networks import load_model


def create_app(model_folder: Path, side: int) -> Any:
    model = load_model(model_folder)
    model.eval()
    app = Flask("plain")

    def predict() -> Any:
        image = Image.open(io.BytesIO(request.files["file"].read())).convert("RGB")
        pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
        batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())
        with torch.inference_mode():
            answer = model(batch)[0].softmax(0)
        return jsonify(dict(zip(model.classes, answer.tolist(), strict=True)))

    app.add_url_rule("/predict", view_func=predict, methods=["POST"])
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path, help="folder train/model of a run")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--port", type=int, default=8200)
    options = parser.parse_args()
    app = create_app(options.model, options.side)
    make_server("127.0.0.1", options.port, app, threaded=True).serve_forever()


if __name__ == "__main__":
    main()
