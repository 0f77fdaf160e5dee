"""Runs the queries of docs/queries.md on one session, in three dialects of SQL, and compares what they find.

    queries.py DOCUMENT HISTORY_DB SPANS EVENTS

HISTORY_DB is the history of a session, and SPANS and EVENTS are its OTLP/JSON files.
These become the tables that the ClickHouse exporter of the OpenTelemetry Collector makes of them.
PostgreSQL gets the tables of the history, with the types that pgloader gives them.
"Now" is a second after the last record.
"""

import json
import re
import sqlite3
import sys
import tempfile
from decimal import Decimal

import pgserver
import psycopg
from chdb import session

DATABASE = "otel"
SPANS = """
CREATE TABLE otel_traces (
  Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String, SpanName LowCardinality(String),
  ServiceName LowCardinality(String), ResourceAttributes Map(LowCardinality(String), String), ScopeName String,
  SpanAttributes Map(LowCardinality(String), String), Duration UInt64, StatusCode LowCardinality(String),
  StatusMessage String, `Links.TraceId` Array(String), `Links.SpanId` Array(String)
) ENGINE = MergeTree ORDER BY (ServiceName, SpanName, Timestamp)"""
EVENTS = """
CREATE TABLE otel_logs (
  Timestamp DateTime64(9), TraceId String, SpanId String, SeverityText LowCardinality(String), SeverityNumber UInt8,
  ServiceName LowCardinality(String), Body String, ResourceAttributes Map(LowCardinality(String), String),
  ScopeName String, LogAttributes Map(LowCardinality(String), String), EventName String
) ENGINE = MergeTree ORDER BY (ServiceName, Timestamp)"""
TYPES = {"INTEGER": "bigint", "TEXT": "text", "BLOB": "bytea"}
STATUS = {0: "Unset", 1: "Ok", 2: "Error"}


def text(value):
    """The exporter stores each value as text."""
    (kind, content), = value.items()
    return json.dumps(content) if kind == "boolValue" else str(content)


def attributes(of):
    return {entry["key"]: text(entry["value"]) for entry in of.get("attributes", []) if entry["value"]}


def records(path, resources, scopes, kind):
    for line in open(path, encoding="utf-8"):
        for resource in json.loads(line)[resources]:
            shared = attributes(resource["resource"])
            for scope in resource[scopes]:
                for record in scope[kind]:
                    common = {"ServiceName": shared.get("service.name", ""), "ResourceAttributes": shared}
                    yield record, common | {"ScopeName": scope.get("scope", {}).get("name", "")}


def time(nanos):
    nanos = int(nanos)
    return f"{nanos // 10**9}.{nanos % 10**9:09}"


def span_rows(path):
    for span, common in records(path, "resourceSpans", "scopeSpans", "spans"):
        start, end, status = span["startTimeUnixNano"], span["endTimeUnixNano"], span.get("status", {})
        yield int(end), common | {
            "Timestamp": time(start),
            "TraceId": span["traceId"],
            "SpanId": span["spanId"],
            "ParentSpanId": span.get("parentSpanId", ""),
            "SpanName": span["name"],
            "SpanAttributes": attributes(span),
            "Duration": int(end) - int(start),
            "StatusCode": STATUS[status.get("code", 0)],
            "StatusMessage": status.get("message", ""),
            "Links.TraceId": [link["traceId"] for link in span.get("links", [])],
            "Links.SpanId": [link["spanId"] for link in span.get("links", [])],
        }


def event_rows(path):
    for event, common in records(path, "resourceLogs", "scopeLogs", "logRecords"):
        yield int(event["timeUnixNano"]), common | {
            "Timestamp": time(event["timeUnixNano"]),
            "SeverityText": event.get("severityText", ""),
            "SeverityNumber": event.get("severityNumber", 0),
            "Body": event.get("body", {}).get("stringValue", ""),
            "LogAttributes": attributes(event),
            "EventName": event.get("eventName", ""),
        }


def insert(clickhouse, table, rows):
    """Inserts rows and returns the time of the last one in nanoseconds."""
    ends, rows = zip(*rows)
    lines = "\n".join(json.dumps(row) for row in rows)
    clickhouse.query(f"INSERT INTO {table} FORMAT JSONEachRow {lines}")
    return max(ends)


def questions(document):
    for section in open(document, encoding="utf-8").read().split("\n## ")[1:]:
        heading = section.split("\n", 1)[0]
        blocks = dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))
        yield heading, blocks["sql"], blocks["postgresql"], blocks["clickhouse"]


def copy(sqlite, postgres):
    """Copies the tables of a history."""
    tables = sqlite.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for table, in tables.fetchall():
        columns = sqlite.execute(f"PRAGMA table_info({table})").fetchall()
        postgres.execute(f"CREATE TABLE {table} ({', '.join(f'{column[1]} {TYPES[column[2]]}' for column in columns)})")
        with postgres.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as rows:
            for row in sqlite.execute(f"SELECT * FROM {table}"):
                rows.write_row(row)


def ask_clickhouse(clickhouse, query):
    return json.loads(str(clickhouse.query(query, "JSONCompact")))["data"]


def main(document, history, spans, events):
    clickhouse = session.Session()
    clickhouse.query(f"CREATE DATABASE {DATABASE}")
    clickhouse.query(f"USE {DATABASE}")
    clickhouse.query(SPANS)
    clickhouse.query(EVENTS)
    last = insert(clickhouse, "otel_traces", span_rows(spans)), insert(clickhouse, "otel_logs", event_rows(events))
    now = max(last) // 10**9 + 1
    sqlite = sqlite3.connect(f"file:{history}?mode=ro", uri=True)
    postgres = psycopg.connect(pgserver.get_server(tempfile.mkdtemp(), cleanup_mode="delete").get_uri())
    copy(sqlite, postgres)
    failed = False
    for heading, sql, of_postgres, of_clickhouse in questions(document):
        sql = without_limit(sql).replace("unixepoch()", str(now)).replace("'now'", f"{now}, 'unixepoch'")
        expected = rows_of(heading, sqlite.execute(sql))
        of_postgres = without_limit(of_postgres).replace("now()", f"to_timestamp({now})")
        of_clickhouse = without_limit(of_clickhouse).replace("now()", f"toDateTime({now}, 'UTC')")
        answers = {
            "PostgreSQL": postgres.execute(of_postgres).fetchall(),
            "ClickHouse": ask_clickhouse(clickhouse, of_clickhouse),
        }
        for store, found in answers.items():
            found = rows_of(heading, found)
            same = bool(expected) and expected == found
            failed |= not same
            print(f"{heading}, {store}: {len(found)} rows" if same else f"{heading}, {store}: expected {expected}, found {found}")
    sys.exit(1 if failed else 0)


def without_limit(query):
    """Of rows in the same place, a limit chooses any."""
    return re.sub(r"\nLIMIT \d+", "", query.strip().rstrip(";"))


def rows_of(heading, rows):
    rows = [[plain(value) for value in row] for row in rows]
    if heading == "Stragglers":
        # Either of two subtasks with the same time may be the last one, but each checkpoint counts once.
        totals = {}
        for cluster, name, _, _, _, times, _ in rows:
            totals[cluster, name] = totals.get((cluster, name), 0) + times
        rows = list(totals.items())
    return sorted(rows, key=str)


def plain(value):
    """ClickHouse writes 64-bit integers as text, and PostgreSQL adds integers up to decimal numbers."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value) else value


main(*sys.argv[1:])
