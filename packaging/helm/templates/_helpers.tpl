{{/* The name of all objects. */}}
{{- define "flink-traces.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* The name of the ClusterRole, which has no namespace. */}}
{{- define "flink-traces.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace (include "flink-traces.name" .) }}
{{- end -}}

{{- define "flink-traces.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "flink-traces.name" .) }}
{{- end -}}

{{/* The labels that select the pods. */}}
{{- define "flink-traces.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "flink-traces.labels" -}}
{{ include "flink-traces.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The same rights as in packaging/kubernetes/discovery/role.yaml. */}}
{{- define "flink-traces.rules" -}}
rules:
  - apiGroups: [flink.apache.org]
    resources: [flinkdeployments, flinksessionjobs]
    verbs: [list, watch]
  - apiGroups: [""]
    resources: [services]
    verbs: [list, watch]
{{- end -}}

{{- define "flink-traces.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "flink-traces.serviceAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}
