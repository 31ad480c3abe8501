"""Model admission: is this uploaded ONNX file safe to hand to strangers' cars, and what does it cost to run?

`admission.admit` is the only entrance for the server. It never imports onnx or onnxruntime; `child`, which it
starts under limits, imports `examine` and all the rest.
"""
