{{/* What Helm says of every object: which release and which chart made it. */}}
{{- define "keyturn.release" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of what belongs to the operator. The first is the only one that anything selects by. */}}
{{- define "keyturn.labels" -}}
app.kubernetes.io/name: keyturn
{{ include "keyturn.release" . }}
{{- end }}

{{/* The image, by its digest where there is one. */}}
{{- define "keyturn.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* What `keyturn run` is started with; only what differs from its own defaults. */}}
{{- define "keyturn.args" -}}
- run
{{- range .Values.namespaces }}
- --namespace
- {{ . }}
{{- else }}
- --all-namespaces
{{- end }}
{{- if ne (int .Values.workers) 16 }}
- --workers={{ int .Values.workers }}
{{- end }}
{{- with .Values.stores.filesRoot }}
- {{ printf "--files-root=%s" . | quote }}
{{- end }}
{{- range .Values.stores.allowHosts }}
- {{ printf "--allow-host=%s" . | quote }}
{{- end }}
{{- range .Values.stores.clusterCIDRs }}
- {{ printf "--cluster-cidr=%s" . | quote }}
{{- end }}
{{- if .Values.verbose }}
- --verbose
{{- end }}
{{- end }}

{{/*
A role and its binding to the operator. Takes root, name, rules, and a namespace; without one they are of the cluster.
*/}}
{{- define "keyturn.role" -}}
{{- $kind := ternary "Role" "ClusterRole" (hasKey . "namespace") -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "keyturn.labels" .root | nindent 4 }}
rules:
{{ .rules | trim }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "keyturn.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
- kind: ServiceAccount
  name: keyturn
  namespace: {{ .root.Release.Namespace }}
{{- end }}

{{/* The same role in each namespace that is served, or one for the cluster. */}}
{{- define "keyturn.access" -}}
{{- $given := . -}}
{{- range .root.Values.namespaces }}
---
{{ include "keyturn.role" (merge (dict "namespace" .) $given) }}
{{- else }}
---
{{ include "keyturn.role" $given }}
{{- end }}
{{- end }}
