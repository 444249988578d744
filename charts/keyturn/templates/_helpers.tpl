{{/* What Helm says of every object: which release and which chart made it; and what the values add to all of them. */}}
{{- define "keyturn.release" -}}
{{- with omit .Values.commonLabels "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- toYaml . }}
{{ end -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
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
{{- if not .Values.image.repository -}}
{{- fail "image.repository is empty, and no image is published: build one from the Dockerfile, push it, and write --set image.repository=registry.example.com/keyturn" -}}
{{- end -}}
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
- {{ . | quote }}
{{- else }}
- --all-namespaces
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
{{- if .Values.audit.enabled }}
- --audit-port=8443
- --audit-cert=/etc/keyturn/audit/tls.crt
- --audit-key=/etc/keyturn/audit/tls.key
- --audit-token-file=/etc/keyturn/audit/token
{{- range .Values.audit.allow }}
- {{ printf "--audit-allow=%s" . | quote }}
{{- end }}
{{- end }}
{{- if not .Values.rbac.listSecrets }}
- --secrets=by-name
{{- end }}
{{- if .Values.metrics.auth }}
- --metrics-auth
{{- end }}
{{- if .Values.metrics.tlsSecret }}
- --metrics-cert=/etc/keyturn/metrics/tls.crt
- --metrics-key=/etc/keyturn/metrics/tls.key
{{- end }}
{{- if .Values.contacts }}
- --contacts=/etc/keyturn/contacts/contacts.yaml
{{- end }}
{{- if .Values.encryptionProof.enabled }}
- --prove-encryption
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* What Prometheus needs to read metrics that are for who logs in, or that come by https. */}}
{{- define "keyturn.scrape" -}}
{{- if .Values.metrics.auth }}
{{- $ofPrometheus := "/var/run/secrets/kubernetes.io/serviceaccount/token" }}
bearerTokenFile: {{ ternary $ofPrometheus "/var/run/secrets/keyturn-metrics/token" (ne .Values.metrics.tlsSecret "") }}
{{- end }}
{{- with .Values.metrics.tlsSecret }}
scheme: https
tlsConfig:
  ca:
    secret:
      name: {{ . }}
      key: ca.crt
  serverName: keyturn-metrics.{{ $.Release.Namespace }}.svc
{{- end }}
{{- end }}

{{/*
The objects of a folder below manifests/, in the namespace of the release and with its labels. Takes root and folder;
kinds that are left out; labels and annotations that are added.
*/}}
{{- define "keyturn.objects" -}}
{{- $given := . -}}
{{- range $path, $_ := .root.Files.Glob (printf "manifests/%s/*.yaml" .folder) }}
{{- range splitList "\n---\n" ($given.root.Files.Get $path | replace "keyturn-system" $given.root.Release.Namespace) }}
{{- $object := fromYaml . }}
{{- if not (has $object.kind ($given.without | default list)) }}
{{- $labels := merge (include "keyturn.release" $given.root | fromYaml) ($given.labels | default dict) }}
{{- $_ := set $object.metadata "labels" (merge $labels ($object.metadata.labels | default dict)) }}
{{- if eq $object.kind "ServiceMonitor" }}
{{- $_ := set $object.spec "endpoints" (list (merge (include "keyturn.scrape" $given.root | fromYaml) (first $object.spec.endpoints))) }}
{{- end }}
{{- if and (eq $object.kind "PrometheusRule") $given.root.Values.contacts }}
{{- $contacts := list }}
{{- range $role, $contact := $given.root.Values.contacts }}
{{- $contacts = append $contacts (printf "%s: %s" $role $contact) }}
{{- end }}
{{- range $object.spec.groups }}
{{- range .rules }}
{{- with .annotations }}
{{- $_ := set . "contacts" (join "; " $contacts | replace "{{" `{{ "{{" }}`) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq (printf "%s/%s" $object.kind $object.metadata.name) "ValidatingAdmissionPolicy/keyturn-own-tokens" }}
{{- with $given.root.Values.workloadIdentity.audiences }}
{{- $_ := set (first $object.spec.variables) "expression" (toJson .) }}
{{- end }}
{{- end }}
{{- with $given.annotations }}
{{- $_ := set $object.metadata "annotations" (merge (deepCopy .) ($object.metadata.annotations | default dict)) }}
{{- end }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Roles and bindings of a folder: for the cluster, or the same in each namespace that is served. Takes root and folder.
*/}}
{{- define "keyturn.rights" -}}
{{- $given := . -}}
{{- if .root.Values.namespaces }}
{{- range $namespace := .root.Values.namespaces }}
{{- range splitList "\n---\n" (include "keyturn.objects" $given | trimPrefix "\n---\n") }}
{{- $object := fromYaml . }}
{{- $_ := set $object "kind" ($object.kind | trimPrefix "Cluster") }}
{{- $_ := set $object.metadata "namespace" $namespace }}
{{- with $object.roleRef }}
{{- $_ := set . "kind" "Role" }}
{{- end }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- else }}
{{- include "keyturn.objects" $given }}
{{- end }}
{{- end }}
