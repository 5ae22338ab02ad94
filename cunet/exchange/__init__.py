"""Networks for other programs, and theirs for cunet; every format is written by hand.

export.py          to a file, by its ending
import_network.py  from a file, by its first bytes
verify.py          an exported file against its model
onnx_file.py       ONNX: the format; onnx_graph.py the network as nodes, onnx_run.py runs a file
bioimageio.py      packages with an ONNX file; about.py what they say, package.py compares them
caffe.py           Caffe; caffe_file.py the format, caffe_layers.py names, caffe_wiring.py checks
milesial.py        the PyTorch U-Net; milesial_names.py its names
safetensors.py     the format; torch_file.py and torch_pickle.py files of torch.save
protobuf.py        the wire format below ONNX and Caffe
mapped.py, tensors.py, imported.py   small types that the readers share
"""
