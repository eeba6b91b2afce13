{{- define "edgestream.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects pods: never changes. The argument of this and the next: root, kind. */}}
{{- define "edgestream.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .kind }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "edgestream.labels" -}}
{{ include "edgestream.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The address of one pod, by its number. The argument: root, kind, index. */}}
{{- define "edgestream.address" -}}
{{- $advertise := (index .root.Values .kind).advertise -}}
{{- if $advertise -}}
{{- $advertise | replace "$(POD_INDEX)" (toString .index) -}}
{{- else -}}
{{- $service := printf "%s-%s" (include "edgestream.fullname" .root) .kind -}}
https://{{ $service }}-{{ .index }}.{{ $service }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.cluster.domain }}:9443
{{- end -}}
{{- end -}}

{{/* The service of the chart 'nats', which names it so. */}}
{{- define "edgestream.natsService" -}}
{{- if .Values.nats.fullnameOverride -}}
{{- .Values.nats.fullnameOverride -}}
{{- else -}}
{{- $name := default "nats" .Values.nats.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "edgestream.natsServers" -}}
{{- if .Values.jetstream.servers -}}
{{- .Values.jetstream.servers | toJson -}}
{{- else if .Values.nats.enabled -}}
{{- if gt (int .Values.jetstream.replicas) (int .Values.nats.config.cluster.replicas) -}}
{{- fail (printf "jetstream.replicas: %v replicas need as many servers; nats.config.cluster.replicas is %v" .Values.jetstream.replicas .Values.nats.config.cluster.replicas) -}}
{{- end -}}
{{- list (printf "nats://%s.%s.svc.%s:4222" (include "edgestream.natsService" .) .Release.Namespace .Values.cluster.domain) | toJson -}}
{{- else -}}
{{- fail "jetstream.servers: name the NATS servers, or let nats.enabled bring them" -}}
{{- end -}}
{{- end -}}

{{/* What both kinds of nodes say of NATS, and where they serve metrics. */}}
{{- define "edgestream.storage" -}}
[storage]
engine = "jetstream"
nats = {{ include "edgestream.natsServers" . }}
replicas = {{ .Values.jetstream.replicas }}
{{- if .Values.jetstream.credentials.existingSecret }}
credentials = "/etc/edgestream/nats-credentials/{{ .Values.jetstream.credentials.key }}"
{{- end }}
{{- if .Values.jetstream.tls.existingSecret }}
ca-file = "/etc/edgestream/nats-tls/ca.crt"
{{- if .Values.jetstream.tls.clientCertificate }}
cert-file = "/etc/edgestream/nats-tls/tls.crt"
key-file = "/etc/edgestream/nats-tls/tls.key"
{{- end }}
{{- end }}

[http]
listen = "0.0.0.0:{{ .Values.http.port }}"
{{- end -}}

{{- define "edgestream.caSecret" -}}
{{- required "ca.existingSecret: name the secret with the CA that the SCs share; README.md says how to make it" .Values.ca.existingSecret -}}
{{- end -}}

{{- define "edgestream.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{/* Nothing but what a process needs that listens above 1024. */}}
{{- define "edgestream.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What a container of either kind sees beside its own. */}}
{{- define "edgestream.mounts" -}}
- name: configuration
  mountPath: /etc/edgestream/node
  readOnly: true
- name: data
  mountPath: /var/lib/edgestream
- name: run
  mountPath: /run/edgestream
- name: tmp
  mountPath: /tmp
{{- if .Values.jetstream.credentials.existingSecret }}
- name: nats-credentials
  mountPath: /etc/edgestream/nats-credentials
  readOnly: true
{{- end }}
{{- if .Values.jetstream.tls.existingSecret }}
- name: nats-tls
  mountPath: /etc/edgestream/nats-tls
  readOnly: true
{{- end }}
{{- end -}}

{{/* Nothing of them would be missed: all that lasts is in NATS, and in the CA's secret. The argument: root, kind. */}}
{{- define "edgestream.volumes" -}}
- name: configuration
  configMap:
    name: {{ include "edgestream.fullname" .root }}-{{ .kind }}
- name: ca
  secret:
    secretName: {{ include "edgestream.caSecret" .root }}
    defaultMode: 0440
- name: data
  emptyDir: {}
- name: run
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
- name: tmp
  emptyDir: {}
{{- with .root.Values.jetstream.credentials.existingSecret }}
- name: nats-credentials
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .root.Values.jetstream.tls.existingSecret }}
- name: nats-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* That a pod is ready, or hangs, is seen at the same page. /healthz is for people: it tells also that NATS is away, and a restart would not mend that. */}}
{{- define "edgestream.probes" -}}
startupProbe:
  httpGet:
    path: /readyz
    port: http
  periodSeconds: 2
  failureThreshold: 90
readinessProbe:
  httpGet:
    path: /readyz
    port: http
  periodSeconds: 5
livenessProbe:
  httpGet:
    path: /readyz
    port: http
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* What the pods of both kinds have in common. The argument: root, kind. */}}
{{- define "edgestream.pod" -}}
{{- $values := index .root.Values .kind -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
terminationGracePeriodSeconds: 90
securityContext:
  runAsNonRoot: true
  runAsUser: {{ int64 .root.Values.user }}
  runAsGroup: {{ int64 .root.Values.user }}
  fsGroup: {{ int64 .root.Values.user }}
  seccompProfile:
    type: RuntimeDefault
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "edgestream.selector" (dict "root" $.root "kind" $.kind) | nindent 8 }}
  {{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Who a pod is. */}}
{{- define "edgestream.environment" -}}
- name: POD_INDEX
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}

{{/* How a pod says where it is reached; Kubernetes puts the names in. The argument: root, kind. */}}
{{- define "edgestream.advertise" -}}
{{- $values := index .root.Values .kind -}}
{{- if and $values.advertise (gt (int $values.replicas) 1) (not (contains "$(POD_INDEX)" $values.advertise)) -}}
{{- fail (printf "%s.advertise: '%s' would be the address of all %v; write $(POD_INDEX) where they differ" .kind $values.advertise $values.replicas) -}}
{{- end -}}
{{- $service := printf "%s-%s" (include "edgestream.fullname" .root) .kind -}}
{{- default (printf "https://$(POD_NAME).%s.%s.svc.%s:9443" $service .root.Release.Namespace .root.Values.cluster.domain) $values.advertise -}}
{{- end -}}
