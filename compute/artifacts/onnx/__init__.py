"""Model admission: is an uploaded ONNX file safe to run on owners' cars, and what does it cost to run?

The server calls only `admission.admit`, which never imports onnx or onnxruntime. It starts `child` under limits, and
that process imports `examination` and everything else.
"""
