"""What Python's opentelemetry-proto makes of OTLP: each span and log record as a line of plain JSON on standard output.

    decoder.py read FILE...   decodes files of OTLP/JSON lines, spans or events
    decoder.py serve          is a collector: prints its gRPC and its HTTP port, and what it received when standard input ends

Nothing here is shared with the Rust side: gRPC is the C core's, gzip is zlib's, protobuf and its JSON are Google's.
"""

import base64
import gzip
import http.server
import json
import math
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import json_format, unknown_fields
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

RECORDS = []
HEX_IDS = ("traceId", "spanId", "parentSpanId")


def refuse_unknown(message):
    """A field that the definition does not have is a mistake of the sender."""
    assert not len(unknown_fields.UnknownFieldSet(message)), f"unknown fields in {message}"
    for field, content in message.ListFields():
        if field.message_type:
            for part in content if field.is_repeated else [content]:
                refuse_unknown(part)


def value(message):
    kind = message.WhichOneof("value")
    if kind is None:
        return None
    assert kind in ("string_value", "bool_value", "int_value", "double_value"), kind
    content = getattr(message, kind)
    return str(content) if kind == "double_value" and not math.isfinite(content) else content


def attributes(messages):
    return {message.key: value(message.value) for message in messages}


def listed(messages):
    return [len(messages), attributes(messages)]


def span(message):
    return {
        "traceId": message.trace_id.hex(),
        "spanId": message.span_id.hex(),
        "parentSpanId": message.parent_span_id.hex(),
        "traceState": message.trace_state,
        "flags": message.flags,
        "name": message.name,
        "kind": message.kind,
        "startTimeUnixNano": message.start_time_unix_nano,
        "endTimeUnixNano": message.end_time_unix_nano,
        "attributes": listed(message.attributes),
        "droppedAttributesCount": message.dropped_attributes_count,
        "events": [
            {
                "timeUnixNano": event.time_unix_nano,
                "name": event.name,
                "attributes": listed(event.attributes),
                "droppedAttributesCount": event.dropped_attributes_count,
            }
            for event in message.events
        ],
        "droppedEventsCount": message.dropped_events_count,
        "links": [
            {
                "traceId": link.trace_id.hex(),
                "spanId": link.span_id.hex(),
                "traceState": link.trace_state,
                "attributes": listed(link.attributes),
                "droppedAttributesCount": link.dropped_attributes_count,
                "flags": link.flags,
            }
            for link in message.links
        ],
        "droppedLinksCount": message.dropped_links_count,
        "status": [message.status.code, message.status.message],
    }


def log(message):
    return {
        "timeUnixNano": message.time_unix_nano,
        "observedTimeUnixNano": message.observed_time_unix_nano,
        "severityNumber": message.severity_number,
        "severityText": message.severity_text,
        "body": value(message.body),
        "attributes": listed(message.attributes),
        "droppedAttributesCount": message.dropped_attributes_count,
        "flags": message.flags,
        "traceId": message.trace_id.hex(),
        "spanId": message.span_id.hex(),
        "eventName": message.event_name,
    }


def receive(request):
    """Notes the records of an ExportTraceServiceRequest or an ExportLogsServiceRequest."""
    refuse_unknown(request)
    is_traces = isinstance(request, trace_service_pb2.ExportTraceServiceRequest)
    for of_resource in request.resource_spans if is_traces else request.resource_logs:
        assert not of_resource.schema_url and not of_resource.resource.dropped_attributes_count
        for of_scope in of_resource.scope_spans if is_traces else of_resource.scope_logs:
            assert not of_scope.schema_url and not of_scope.scope.version and not of_scope.scope.attributes
            around = {"resource": attributes(of_resource.resource.attributes), "scope": of_scope.scope.name}
            messages = map(span, of_scope.spans) if is_traces else map(log, of_scope.log_records)
            RECORDS.extend({**around, **message} for message in messages)


def read_json(request, text):
    """OTLP/JSON is proto3's JSON but for ids, which are hexadecimal instead of base64."""

    def with_base64_ids(part):
        if isinstance(part, list):
            return [with_base64_ids(item) for item in part]
        if not isinstance(part, dict):
            return part
        encoded = {key: with_base64_ids(item) for key, item in part.items()}
        for key in HEX_IDS:
            if isinstance(encoded.get(key), str):
                encoded[key] = base64.b64encode(bytes.fromhex(encoded[key])).decode()
        return encoded

    return json_format.ParseDict(with_base64_ids(json.loads(text)), request)


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        receive(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def Export(self, request, context):
        receive(request)
        return logs_service_pb2.ExportLogsServiceResponse()


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = {
            "/v1/traces": trace_service_pb2.ExportTraceServiceRequest,
            "/v1/logs": logs_service_pb2.ExportLogsServiceRequest,
        }[self.path]()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        kind = self.headers["Content-Type"]
        if kind == "application/json":
            read_json(request, body.decode())
        else:
            assert kind == "application/x-protobuf", kind
            request.ParseFromString(body)
        receive(request)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def serve():
    grpc_server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), grpc_server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), grpc_server)
    grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Http)
    threading.Thread(target=http_server.serve_forever, daemon=True).start()
    print(json.dumps([grpc_port, http_server.server_port]), flush=True)
    sys.stdin.read()
    grpc_server.stop(None)
    http_server.shutdown()


def read(paths):
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                is_traces = "resourceSpans" in json.loads(line)
                service = trace_service_pb2.ExportTraceServiceRequest if is_traces else logs_service_pb2.ExportLogsServiceRequest
                receive(read_json(service(), line))


if sys.argv[1] == "serve":
    serve()
else:
    read(sys.argv[2:])
for record in RECORDS:
    print(json.dumps(record))
