{{/* The port of a URL, or that of its scheme; nothing for what is no URL. */}}
{{- define "m0.port" -}}
{{- if contains "://" . -}}
{{- $url := urlParse . -}}
{{- $known := dict "http" "80" "https" "443" "amqp" "5672" "amqps" "5671" -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (get $known $url.scheme) -}}
{{- end -}}
{{- end }}

{{/* NetworkPolicyPeers: everything but the metadata services. */}}
{{- define "m0.anywhere" -}}
{{- $v4 := list -}}
{{- $v6 := list -}}
{{- range .Values.networkPolicy.metadataAddresses -}}
{{- if contains ":" . }}{{ $v6 = append $v6 . }}{{ else }}{{ $v4 = append $v4 . }}{{ end -}}
{{- end -}}
- ipBlock: {{ merge (dict "cidr" "0.0.0.0/0") (ternary (dict "except" $v4) (dict) (gt (len $v4) 0)) | toJson }}
- ipBlock: {{ merge (dict "cidr" "::/0") (ternary (dict "except" $v6) (dict) (gt (len $v6) 0)) | toJson }}
# Some CNIs don't count pods among addresses.
- namespaceSelector: {}
{{- end }}

{{/*
An egress rule; the argument is (dict "root" $ "peers" NAME "ports" PORTS ["protocols" PROTOCOLS]).
*/}}
{{- define "m0.egress" -}}
{{- $peers := get .root.Values.networkPolicy.peers .peers -}}
- to: {{- $peers | default (include "m0.anywhere" .root | fromYamlArray) | toYaml | nindent 4 }}
  ports:
{{- range $protocol := .protocols | default (list "TCP") }}
{{- range uniq $.ports }}
    - {protocol: {{ $protocol }}, port: {{ int . }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "m0.egressDns" -}}
{{ include "m0.egress" (dict "root" . "peers" "dns" "ports" .Values.networkPolicy.ports.dns "protocols" (list "UDP" "TCP")) }}
{{- end }}

{{- define "m0.egressBroker" -}}
{{- $ports := .Values.networkPolicy.ports.broker -}}
{{- with include "m0.port" .Values.rabbitmq.url }}{{ $ports = list (int .) }}{{ end -}}
{{ include "m0.egress" (dict "root" . "peers" "broker" "ports" $ports) }}
{{- end }}

{{- define "m0.egressBackend" -}}
{{- with include "m0.port" .Values.graphql.url -}}
{{ include "m0.egress" (dict "root" $ "peers" "backend" "ports" (list (int .))) }}
{{- end -}}
{{- end }}

{{- define "m0.egressTracing" -}}
{{- with include "m0.port" .Values.tracing.endpoint -}}
{{ include "m0.egress" (dict "root" $ "peers" "tracing" "ports" (list (int .))) }}
{{- end -}}
{{- end }}

{{- define "m0.egressKubernetes" -}}
{{ include "m0.egress" (dict "root" . "peers" "kubernetes" "ports" .Values.networkPolicy.ports.kubernetes) }}
{{- end }}

{{/* Stores and secrets, and who gives and checks identities for them. */}}
{{- define "m0.egressStores" -}}
{{- $ports := .Values.networkPolicy.ports.stores -}}
{{- with include "m0.port" .Values.secrets.aws.endpointUrl }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- with include "m0.port" .Values.s3.endpointUrl }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- with include "m0.port" .Values.azure.account }}{{ $ports = append $ports (int .) }}{{ end -}}
{{ include "m0.egress" (dict "root" . "peers" "stores" "ports" $ports) }}
{{- end }}

{{/* Where secrets are read from, and identities for that; nothing where they are Kubernetes'. */}}
{{- define "m0.egressSecrets" -}}
{{- if ne .Values.secrets.source "kubernetes" -}}
{{- $ports := .Values.networkPolicy.ports.stores -}}
{{- with include "m0.port" .Values.secrets.aws.endpointUrl }}{{ $ports = append $ports (int .) }}{{ end -}}
{{ include "m0.egress" (dict "root" . "peers" "stores" "ports" $ports) }}
{{ include "m0.egressIdentity" . }}
{{- end -}}
{{- end }}

{{/* Where a pod gets its own identity from: EKS' agent on the node, and the node's, if allowed. */}}
{{- define "m0.egressIdentity" -}}
- to:
    - ipBlock: {cidr: 169.254.170.23/32}
    - ipBlock: {cidr: "fd00:ec2::23/128"}
  {{- if .Values.networkPolicy.allowMetadata }}
    {{- range .Values.networkPolicy.metadataAddresses }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
  ports:
    - {protocol: TCP, port: 80}
{{- end }}
