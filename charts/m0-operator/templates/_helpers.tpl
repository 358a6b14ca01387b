{{/* Common prefix of all names: the release's, "m0" for a release named m0 or m0-operator. */}}
{{- define "m0.name" -}}
{{- .Release.Name | trimSuffix "-operator" | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Labels of everything; the argument is (dict "root" $ "component" NAME). */}}
{{- define "m0.labels" -}}
{{ include "m0.selector" . }}
app.kubernetes.io/part-of: m0
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "m0.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* REPOSITORY:TAG; the argument is (dict "root" $ "image" VALUES). */}}
{{- define "m0.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* The Secret with the broker's URL, and its key. Fails when neither is given. */}}
{{- define "m0.brokerRef" -}}
{{- $rabbitmq := .Values.rabbitmq -}}
{{- if and $rabbitmq.existingSecret $rabbitmq.url -}}
{{- fail "\n\nGive either rabbitmq.existingSecret or rabbitmq.url, not both." -}}
{{- else if $rabbitmq.existingSecret -}}
name: {{ $rabbitmq.existingSecret }}
key: {{ $rabbitmq.key }}
{{- else if $rabbitmq.url -}}
name: {{ include "m0.name" . }}-broker
key: amqp-url
{{- else -}}
{{- fail "\n\nM0 needs RabbitMQ. Give the Secret that holds its URL (amqp://USER:PASSWORD@HOST:PORT/VHOST):\n  --set rabbitmq.existingSecret=NAME [--set rabbitmq.key=KEY, default amqp-url]\nor, to try it out, the URL itself:\n  --set rabbitmq.url=amqp://…" -}}
{{- end -}}
{{- end }}

{{/* What operator and Jobs both need to know of the backend, as EnvVar objects. */}}
{{- define "m0.backendEnv" -}}
{{- with .Values.graphql.url }}
- name: M0_GRAPHQL_URL
  value: {{ . | quote }}
{{- end }}
{{- if .Values.graphql.existingSecret }}
- name: M0_GRAPHQL_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .Values.graphql.existingSecret }}
      key: {{ .Values.graphql.key }}
{{- end }}
{{- if .Values.graphql.documents }}
- name: M0_GRAPHQL_DOCUMENTS
  value: /etc/m0/graphql
{{- end }}
{{- end }}

{{/* The broker's URL as an EnvVar object. */}}
{{- define "m0.brokerEnv" -}}
- name: M0_AMQP_URL
  valueFrom:
    secretKeyRef: {{- include "m0.brokerRef" . | nindent 6 }}
{{- end }}

{{/* Security of pods and containers, as Pod Security "restricted" wants it and a bit more. */}}
{{- define "m0.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "m0.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where a pod may run; the argument is a component's values. */}}
{{- define "m0.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* What Jobs and sweeper need to know of the stores, as EnvVar objects; credentials are apart. */}}
{{- define "m0.storeEnv" -}}
- name: M0_CACHE_TTL_HOURS
  value: {{ .Values.cache.ttlHours | toString | quote }}
{{- if not .Values.cache.tagging }}
- name: M0_CACHE_TAGGING
  value: "false"
{{- end }}
{{- with .Values.s3.endpointUrl }}
- name: M0_S3_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- if ne .Values.s3.addressingStyle "auto" }}
- name: M0_S3_ADDRESSING_STYLE
  value: {{ .Values.s3.addressingStyle }}
{{- end }}
{{- with .Values.s3.sse }}
- name: M0_S3_SSE
  value: {{ . | quote }}
{{- end }}
{{- with .Values.s3.sseKmsKeyId }}
- name: M0_S3_SSE_KMS_KEY_ID
  value: {{ . | quote }}
{{- end }}
{{- if .Values.s3.requesterPays }}
- name: M0_S3_REQUESTER_PAYS
  value: "true"
{{- end }}
{{- with .Values.azure.account }}
- name: AZURE_STORAGE_ACCOUNT
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{/*
How the Jobs cut, as EnvVar objects. Whole numbers go through int64: helm would write large ones
as 6.7e+07.
*/}}
{{- define "m0.cuttingEnv" -}}
{{- with .Values.chunker }}
- name: M0_UPLOADS
  value: {{ int64 .uploads | toString | quote }}
- name: M0_TAIL_FRACTION
  value: {{ .tailFraction | toString | quote }}
- name: M0_SALVAGE
  value: {{ .salvage | toString | quote }}
- name: M0_MAX_DURATION_HOURS
  value: {{ .limits.durationHours | toString | quote }}
- name: M0_MAX_CHUNKS
  value: {{ int64 .limits.chunks | toString | quote }}
- name: M0_MAX_PIXELS
  value: {{ int64 .limits.pixels | toString | quote }}
- name: M0_MAX_STREAMS
  value: {{ int64 .limits.streams | toString | quote }}
- name: M0_STALL_S
  value: {{ .stallSeconds | toString | quote }}
{{- end }}
{{- end }}

{{/*
The Jobs' template, as JSON: the operator's m0_operator/domain/job_template.py reads it and refuses
keys that it doesn't know.
*/}}
{{- define "m0.jobTemplate" -}}
{{- $values := .Values -}}
{{- $chunker := $values.chunker -}}
{{- $env := concat
  (include "m0.brokerEnv" . | fromYamlArray)
  (list
    (dict "name" "M0_RESULTS_QUEUE" "value" $values.queues.results)
    (dict "name" "M0_PROGRESS_QUEUE" "value" $values.queues.progress))
  (include "m0.storeEnv" . | fromYamlArray)
  (include "m0.backendEnv" . | fromYamlArray)
  (include "m0.cuttingEnv" . | fromYamlArray)
-}}
{{- $envFrom := list -}}
{{- with $values.stores.existingSecret }}{{ $envFrom = append $envFrom (dict "secretRef" (dict "name" .)) }}{{ end -}}
{{- $volumes := $chunker.extraVolumes -}}
{{- $mounts := $chunker.extraVolumeMounts -}}
{{- if $values.graphql.documents -}}
{{- $volumes = append $volumes (dict "name" "graphql" "configMap" (dict "name" (print (include "m0.name" .) "-graphql"))) -}}
{{- $mounts = append $mounts (dict "name" "graphql" "mountPath" "/etc/m0/graphql" "readOnly" true) -}}
{{- end -}}
{{- $template := dict
  "image" (include "m0.image" (dict "root" . "image" $chunker.image))
  "imagePullPolicy" $chunker.image.pullPolicy
  "imagePullSecrets" $values.imagePullSecrets
  "resources" $chunker.resources
  "scratchSizeLimit" $chunker.scratchSizeLimit
  "backoffLimit" (int $chunker.backoffLimit)
  "stuckPodSeconds" (int $chunker.stuckPodSeconds)
  "ttlSecondsAfterFinished" (int $chunker.ttlSecondsAfterFinished)
  "env" (concat $env $chunker.extraEnv)
  "envFrom" (concat $envFrom $chunker.extraEnvFrom | default list)
  "nodeSelector" $chunker.nodeSelector
  "tolerations" $chunker.tolerations
  "serviceAccountName" (print (include "m0.name" .) "-chunker")
  "podLabels" (merge (dict "app.kubernetes.io/part-of" "m0" "app.kubernetes.io/component" "chunker") $chunker.podLabels)
  "podAnnotations" $chunker.podAnnotations
  "extraVolumes" $volumes
  "extraVolumeMounts" $mounts
-}}
{{- with $chunker.activeDeadlineSeconds }}{{ $_ := set $template "activeDeadlineSeconds" (int .) }}{{ end -}}
{{- with $chunker.memoryCap }}{{ $_ := set $template "memoryCap" . }}{{ end -}}
{{- with $chunker.affinity }}{{ $_ := set $template "affinity" . }}{{ end -}}
{{- with $chunker.priorityClassName }}{{ $_ := set $template "priorityClassName" . }}{{ end -}}
{{- $template | toPrettyJson -}}
{{- end }}
