{{/* Common prefix of all names: the release's, "m0" for a release named m0 or m0-operator. */}}
{{- define "m0.name" -}}
{{- .Release.Name | trimSuffix "-operator" | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Labels of everything; the argument is (dict "root" $ "component" NAME ["extra" LABELS]). */}}
{{- define "m0.labels" -}}
{{- $own := include "m0.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "m0" -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (print .root.Chart.Name "-" .root.Chart.Version) -}}
{{- merge $own (.extra | default dict) .root.Values.commonLabels | toYaml -}}
{{- end }}

{{/*
Labels of a component's pods; the argument is (dict "root" $ "component" NAME "values" VALUES
["account" VALUES-OF-ITS-SERVICE-ACCOUNT]).
*/}}
{{- define "m0.podLabels" -}}
{{- $identity := include "m0.identityLabels" (.account | default .values.serviceAccount) | fromYaml -}}
{{- $extra := merge (dict) .values.podLabels $identity -}}
{{- include "m0.labels" (dict "root" .root "component" .component "extra" $extra) -}}
{{- end }}

{{/* What Azure's workload identity wants of a pod; the argument is serviceAccount's values. */}}
{{- define "m0.identityLabels" -}}
{{- if hasKey .annotations "azure.workload.identity/client-id" -}}
azure.workload.identity/use: "true"
{{- end -}}
{{- end }}

{{/* The field `annotations`, or nothing; the argument is (dict "root" $ ["own" ANNOTATIONS]). */}}
{{- define "m0.annotations" -}}
{{- with merge (dict) (.own | default dict) .root.Values.commonAnnotations -}}
annotations: {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end }}

{{/* A component's service account; the argument is (dict "root" $ "component" NAME "values" VALUES). */}}
{{- define "m0.serviceAccount" -}}
{{- $account := .values.serviceAccount -}}
{{- if $account.create -}}
{{- $account.name | default (print (include "m0.name" .root) "-" .component) -}}
{{- else -}}
{{- $account.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "m0.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* REPOSITORY:TAG@DIGEST, as far as given; the argument is (dict "root" $ "image" VALUES). */}}
{{- define "m0.image" -}}
{{- $tag := .image.tag | default (ternary "" .root.Chart.AppVersion (ne .image.digest "")) -}}
{{- .image.repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* The gateway's image: the operator's, or one of its own of the same tag if none is given. */}}
{{- define "m0.gatewayImage" -}}
{{- $image := .Values.image -}}
{{- with .Values.gateway.image -}}
{{- if or .repository .tag .digest -}}
{{- $image = dict
  "repository" (.repository | default $image.repository)
  "tag" (.tag | default (ternary "" $image.tag (ne .digest "")))
  "digest" .digest
-}}
{{- end -}}
{{- end -}}
{{- include "m0.image" (dict "root" . "image" $image) -}}
{{- end }}

{{/* The Secret with the broker's URL, and its key; nothing where another source has it. */}}
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
{{- else if eq .Values.secrets.source "kubernetes" -}}
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

{{/* Where spans go, as EnvVar objects; nothing where none are made. */}}
{{- define "m0.tracingEnv" -}}
{{- with .Values.tracing }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
{{- if .headersSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ .headersSecret }}, key: {{ .headersKey }}}}
{{- end }}
- name: M0_TRACE_RATIO
  value: {{ .sampleRatio | toString | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The broker's URL as an EnvVar object, or where to read it at startup. */}}
{{- define "m0.brokerEnv" -}}
{{- with include "m0.brokerRef" . }}
- name: M0_AMQP_URL
  valueFrom:
    secretKeyRef: {{- . | nindent 6 }}
{{- end }}
{{- include "m0.secretsEnv" . }}
{{- end }}

{{/* Where secrets are read at startup, as EnvVar objects: m0_wire/secrets.py. */}}
{{- define "m0.secretsEnv" -}}
{{- with .Values.secrets }}
{{- if ne .source "kubernetes" }}
- name: M0_SECRETS_SOURCE
  value: {{ .source }}
{{- end }}
{{- if eq .source "aws" }}
- name: M0_SECRETS_AWS_SECRET_ID
  value: {{ required "\n\nsecrets.source=aws needs the secret to read:\n  --set secrets.aws.secretId=NAME-OR-ARN" .aws.secretId | quote }}
{{- with .aws.region }}
- name: M0_SECRETS_AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .aws.endpointUrl }}
- name: M0_SECRETS_AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- else if eq .source "azure" }}
- name: M0_SECRETS_AZURE_VAULT_URL
  value: {{ required "\n\nsecrets.source=azure needs the vault:\n  --set secrets.azure.vaultUrl=https://NAME.vault.azure.net" .azure.vaultUrl | quote }}
- name: M0_SECRETS_AZURE_SECRET_NAME
  value: {{ required "\n\nsecrets.source=azure needs the secret to read:\n  --set secrets.azure.secretName=NAME" .azure.secretName | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The operator's environment, extraEnv apart: also that of whoever checks in its place. */}}
{{- define "m0.operatorEnv" -}}
- name: M0_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- include "m0.brokerEnv" . }}
- {name: M0_PRIORITY_QUEUE, value: {{ .Values.queues.priority | quote }}}
- {name: M0_RESULTS_QUEUE, value: {{ .Values.queues.results | quote }}}
- {name: M0_DEADLETTER_QUEUE, value: {{ .Values.queues.deadletter | quote }}}
- {name: M0_PROGRESS_QUEUE, value: {{ .Values.queues.progress | quote }}}
- {name: M0_DECLARE_QUEUES, value: {{ .Values.declareQueues | quote }}}
{{- include "m0.backendEnv" . }}
- {name: M0_MAX_ACTIVE_JOBS_FILE, value: /etc/m0/live/max-active-jobs}
{{- if not (kindIs "invalid" .Values.finishedTtlHours) }}
- {name: M0_FINISHED_TTL_HOURS, value: {{ .Values.finishedTtlHours | toString | quote }}}
{{- end }}
- {name: M0_HANDED_OVER_STATUS, value: {{ .Values.handedOverStatus }}}
- {name: M0_JOB_TEMPLATE_FILE, value: /etc/m0/job.json}
- {name: M0_LOG_LEVEL, value: {{ .Values.logLevel }}}
{{- include "m0.tracingEnv" . }}
{{- end }}

{{/* The operator's files, as VolumeMount and as Volume objects. */}}
{{- define "m0.operatorMounts" -}}
# Each mounted by itself: a ConfigMap can't be mounted below another.
- {name: config, mountPath: /etc/m0/job.json, subPath: job.json, readOnly: true}
# As a directory it follows the ConfigMap, which a subPath does not.
- {name: live, mountPath: /etc/m0/live, readOnly: true}
{{- if .Values.graphql.documents }}
- {name: graphql, mountPath: /etc/m0/graphql, readOnly: true}
{{- end }}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "m0.operatorVolumes" -}}
{{- $name := include "m0.name" . -}}
- name: config
  configMap: {name: {{ $name }}-operator}
- name: live
  configMap:
    name: {{ $name }}-operator
    items: [{key: max-active-jobs, path: max-active-jobs}]
{{- if .Values.graphql.documents }}
- name: graphql
  configMap: {name: {{ $name }}-graphql}
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{/* What `helm test` runs, in the operator's image and place. */}}
{{- define "m0.checkCommand" -}}
[m0-operator, --check]
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

{{/*
How a component's pods are spread, or nothing; the argument is (dict "root" $ "component" NAME
"values" VALUES). A constraint that says not which pods it counts counts the component's.
*/}}
{{- define "m0.spread" -}}
{{- $selector := dict "matchLabels" (include "m0.selector" . | fromYaml) -}}
{{- with .values.topologySpreadConstraints -}}
topologySpreadConstraints:
{{- range . }}
  - {{- merge (dict) . (dict "labelSelector" $selector) | toYaml | nindent 4 }}
{{- end }}
{{- end }}
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

{{/*
What Jobs and sweeper need to know of the stores, as EnvVar objects; the credentials of
stores.existingSecret are apart.
*/}}
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
{{- with .Values.s3 }}
{{- with .region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- if .existingSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .accessKeyIdKey }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretAccessKeyKey }}}}
{{- if .sessionTokenKey }}
- name: AWS_SESSION_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .sessionTokenKey }}}}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.azure }}
{{- if .existingSecret }}
{{- if and (ne .kind "connectionString") (not .account) }}
{{- fail (printf "\n\nazure.kind=%s needs the account:\n  --set azure.account=NAME" .kind) }}
{{- end }}
{{- $variables := dict "connectionString" "CONNECTION_STRING" "accountKey" "KEY" "sasToken" "SAS_TOKEN" }}
- name: AZURE_STORAGE_{{ get $variables .kind }}
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .key }}}}
{{- end }}
{{- with .account }}
- name: AZURE_STORAGE_ACCOUNT
  value: {{ . | quote }}
{{- end }}
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
  (include "m0.tracingEnv" . | fromYamlArray)
-}}
{{- $envFrom := list -}}
{{- with $values.stores.existingSecret }}{{ $envFrom = append $envFrom (dict "secretRef" (dict "name" .)) }}{{ end -}}
{{- $own := dict
  "app.kubernetes.io/part-of" "m0"
  "app.kubernetes.io/component" "chunker"
  "app.kubernetes.io/instance" .Release.Name
-}}
{{- $identity := include "m0.identityLabels" $chunker.serviceAccount | fromYaml -}}
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
  "serviceAccountName" (include "m0.serviceAccount" (dict "root" . "component" "chunker" "values" $chunker))
  "podLabels" (merge $own $chunker.podLabels $identity $values.commonLabels)
  "podAnnotations" (merge (dict) $chunker.podAnnotations $values.commonAnnotations)
  "extraVolumes" $volumes
  "extraVolumeMounts" $mounts
-}}
{{- with $chunker.activeDeadlineSeconds }}{{ $_ := set $template "activeDeadlineSeconds" (int .) }}{{ end -}}
{{- with $chunker.memoryCap }}{{ $_ := set $template "memoryCap" . }}{{ end -}}
{{- with $chunker.podOverlay }}{{ $_ := set $template "podOverlay" . }}{{ end -}}
{{- with $chunker.affinity }}{{ $_ := set $template "affinity" . }}{{ end -}}
{{- with $chunker.priorityClassName }}{{ $_ := set $template "priorityClassName" . }}{{ end -}}
{{- $template | toPrettyJson -}}
{{- end }}
