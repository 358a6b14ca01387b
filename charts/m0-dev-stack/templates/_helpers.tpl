{{/* Labels of everything here; the argument is (dict "root" $ "component" NAME). */}}
{{- define "m0-dev.labels" -}}
{{ include "m0-dev.selector" . }}
app.kubernetes.io/part-of: m0
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "m0-dev.selector" -}}
app.kubernetes.io/name: m0-dev-stack
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Azurite's one account and its key: public, the same in every Azurite of the world. */}}
{{- define "m0-dev.azureAccount" -}}devstoreaccount1{{- end }}
{{- define "m0-dev.azureKey" -}}
Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==
{{- end }}

{{/*
One server: a Deployment and its Service. The argument is a dict of
  root, component (its name is m0-COMPONENT), ports (list of name, port, nodePort),
  env (list), resources, sizeLimit of /data, config (Secret mounted to /etc/m0, or empty),
  startup (probe handler: done once), ready (probe handler: from then on), graceSeconds.
*/}}
{{- define "m0-dev.server" -}}
{{- $root := .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: m0-{{ .component }}
  labels: {{- include "m0-dev.labels" . | nindent 4 }}
spec:
  replicas: 1
  # Two at once would not share their data.
  strategy: {type: Recreate}
  selector:
    matchLabels: {{- include "m0-dev.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "m0-dev.labels" . | nindent 8 }}
      annotations:
        {{- if .config }}
        checksum/config: {{ include (print $root.Template.BasePath "/config.yaml") $root | sha256sum }}
        {{- end }}
        checksum/credentials: {{ include (print $root.Template.BasePath "/credentials.yaml") $root | sha256sum }}
    spec:
      automountServiceAccountToken: false
      # Otherwise every service here would become variables named M0_….
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .graceSeconds | default 10 }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: {{ .component }}
          image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag }}"
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [/opt/m0/bin/{{ .component }}.sh]
          {{- with .env }}
          env: {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            {{- range .ports }}
            - {name: {{ .name }}, containerPort: {{ .port }}}
            {{- end }}
          {{- with .startup }}
          startupProbe: {{- merge (dict "periodSeconds" 1 "timeoutSeconds" 5 "failureThreshold" 180) . | toYaml | nindent 12 }}
          {{- end }}
          readinessProbe: {{- merge (dict "periodSeconds" 5 "timeoutSeconds" 5) .ready | toYaml | nindent 12 }}
          resources: {{- toYaml .resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: data, mountPath: /data}
            - {name: tmp, mountPath: /tmp}
            {{- if .config }}
            - {name: config, mountPath: /etc/m0, readOnly: true}
            {{- end }}
      volumes:
        - name: data
          emptyDir: {{- if .sizeLimit }} {sizeLimit: {{ .sizeLimit }}}{{ else }} {}{{ end }}
        - name: tmp
          emptyDir: {}
        {{- if .config }}
        - name: config
          secret: {secretName: {{ .config }}}
        {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: m0-{{ .component }}
  labels: {{- include "m0-dev.labels" . | nindent 4 }}
spec:
  type: {{ if $root.Values.nodePorts.enabled }}NodePort{{ else }}ClusterIP{{ end }}
  selector: {{- include "m0-dev.selector" . | nindent 4 }}
  ports:
    {{- range .ports }}
    - name: {{ .name }}
      port: {{ .port }}
      targetPort: {{ .name }}
      {{- if $root.Values.nodePorts.enabled }}
      nodePort: {{ .nodePort }}
      {{- end }}
    {{- end }}
{{- end }}
