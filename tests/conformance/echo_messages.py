"""The service that gRPC clients call, described by hand so that no compiler of .proto files is needed."""
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "conformance.Echo"
METHODS = {
    "Unary": "unary_unary",
    "Server": "unary_stream",
    "Client": "stream_unary",
    "Bidi": "stream_stream",
    "Silent": "unary_unary",
}


def _describe():
    file = descriptor_pb2.FileDescriptorProto(name="conformance/echo.proto", package="conformance", syntax="proto3")
    message = file.message_type.add(name="Message")
    message.field.add(name="text", number=1, type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
                      label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL)
    service = file.service.add(name="Echo")
    for name, kind in METHODS.items():
        asks, answers = kind.split("_")
        service.method.add(name=name, input_type=".conformance.Message", output_type=".conformance.Message",
                           client_streaming=asks == "stream", server_streaming=answers == "stream")
    pool = descriptor_pool.Default()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("conformance.Message"))


Message = _describe()
