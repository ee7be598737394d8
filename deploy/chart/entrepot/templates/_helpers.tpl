{{- define "entrepot.name" -}}
{{- .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "entrepot.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "entrepot.selector" -}}
app.kubernetes.io/name: {{ include "entrepot.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "entrepot.labels" -}}
{{ include "entrepot.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "entrepot.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "entrepot.fullname" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* Whether the metadata are in PostgreSQL, so that there may be several pods, and pods for jobs alone. */}}
{{- define "entrepot.external" -}}
{{- if eq .Values.database.type "external" }}true{{ end }}
{{- end }}

{{/* Whether blobs or databases lie on a volume. */}}
{{- define "entrepot.volume" -}}
{{- if or (not (include "entrepot.external" .)) (eq .Values.persistence.imageChartStorage.type "filesystem") }}true{{ end }}
{{- end }}

{{- define "entrepot.claim" -}}
{{- .Values.persistence.persistentVolumeClaim.registry.existingClaim | default (printf "%s-registry" (include "entrepot.fullname" .)) }}
{{- end }}

{{/* What cannot work is said before anything is installed. */}}
{{- define "entrepot.check" -}}
{{- $storage := .Values.persistence.imageChartStorage -}}
{{- if not (has $storage.type (list "filesystem" "s3" "azure" "gcs")) }}{{ fail (printf "persistence.imageChartStorage.type is filesystem, s3, azure or gcs, and not %s" $storage.type) }}{{ end }}
{{- if not (has .Values.expose.type (list "ingress" "route" "clusterIP" "nodePort" "loadBalancer")) }}{{ fail (printf "expose.type is ingress, route, clusterIP, nodePort or loadBalancer, and not %s" .Values.expose.type) }}{{ end }}
{{- if and (eq .Values.expose.type "route") (not .Values.expose.route.parentRefs) }}{{ fail "expose.type is route: name the gateway in expose.route.parentRefs" }}{{ end }}
{{- if include "entrepot.external" . }}
{{- if not .Values.database.external.host }}{{ fail "database.type is external: name the server in database.external.host" }}{{ end }}
{{- if not (or .Values.secretKey .Values.existingSecretSecretKey) }}{{ fail "database.type is external: give a secretKey (openssl rand -base64 32), or name the secret that holds it in existingSecretSecretKey" }}{{ end }}
{{- if and (eq $storage.type "filesystem") (gt (int .Values.registry.replicas) 1) (ne .Values.persistence.persistentVolumeClaim.registry.accessMode "ReadWriteMany") }}{{ fail "several pods with a volume need persistence.persistentVolumeClaim.registry.accessMode: ReadWriteMany; or choose an object store" }}{{ end }}
{{- else }}
{{- if .Values.registry.autoscaling.enabled }}{{ fail "registry.autoscaling needs database.type: external" }}{{ end }}
{{- if gt (int .Values.registry.replicas) 1 }}{{ fail "SQLite is for one pod: several need database.type: external" }}{{ end }}
{{- if ne $storage.type "filesystem" }}{{ fail "an object store needs database.type: external" }}{{ end }}
{{- end }}
{{- end }}

{{/* config.yml, without secrets. */}}
{{- define "entrepot.config" -}}
{{- $storage := .Values.persistence.imageChartStorage -}}
{{- $driver := dict "filesystem" (dict "rootdirectory" "/var/lib/registry") -}}
{{- if ne $storage.type "filesystem" }}{{ $driver = dict $storage.type (index $storage $storage.type) }}{{ end -}}
{{- $http := dict "addr" ":5000" "draindelay" (printf "%ds" (int .Values.drain.delay)) "draintimeout" (printf "%ds" (int .Values.drain.timeout)) -}}
{{- /* Whoever reaches the debug port may take a pod out of service (POST /debug/health/down): it is there for who measures. */}}
{{- if .Values.metrics.enabled }}{{ $_ := set $http "debug" (dict "addr" ":5001" "prometheus" (dict "enabled" true)) }}{{ end -}}
{{- if .Values.externalURL }}{{ $_ := set $http "host" .Values.externalURL }}{{ end -}}
{{- with .Values.trustedProxies }}{{ $_ := set $http "trustedproxies" . }}{{ end -}}
{{- $config := dict "version" "0.1" "log" (dict "formatter" "json") "auth" "accounts" "http" $http "workers" (int .Values.registry.workers) -}}
{{- $_ := set $config "storage" (merge (dict "delete" (dict "enabled" true) "redirect" (dict "disable" $storage.disableredirect)) $driver) -}}
{{- if include "entrepot.external" . }}
{{- $db := .Values.database.external -}}
{{- $_ := set $config "database" (dict "enabled" true "host" $db.host "port" (int $db.port) "user" $db.username "dbname" $db.coreDatabase "sslmode" $db.sslmode) -}}
{{- end }}
{{- if eq .Values.redis.type "external" }}
{{- $redis := dict "addrs" (splitList "," .Values.redis.external.addr) -}}
{{- if .Values.redis.external.sentinelMasterSet }}{{ $_ := set $redis "mastername" .Values.redis.external.sentinelMasterSet }}{{ end -}}
{{- if .Values.redis.external.username }}{{ $_ := set $redis "username" .Values.redis.external.username }}{{ end -}}
{{- $_ := set $config "redis" $redis -}}
{{- end }}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.config)) }}
{{- end }}

{{/* Secrets that were given as values; who gives them by reference has none. */}}
{{- define "entrepot.secrets" -}}
{{- $data := dict -}}
{{- if and .Values.harborAdminPassword (not .Values.existingSecretAdminPassword) }}{{ $_ := set $data "HARBOR_ADMIN_PASSWORD" (.Values.harborAdminPassword | b64enc) }}{{ end -}}
{{- if and .Values.secretKey (not .Values.existingSecretSecretKey) }}{{ $_ := set $data "secretKey" (.Values.secretKey | b64enc) }}{{ end -}}
{{- if and .Values.database.external.password (not .Values.database.external.existingSecret) }}{{ $_ := set $data "password" (.Values.database.external.password | b64enc) }}{{ end -}}
{{- if and .Values.redis.external.password (not .Values.redis.external.existingSecret) }}{{ $_ := set $data "REDIS_PASSWORD" (.Values.redis.external.password | b64enc) }}{{ end -}}
{{- if $data }}{{ toYaml $data }}{{ end }}
{{- end }}

{{/* A variable from a secret: one that is named, or ours. */}}
{{- define "entrepot.fromSecret" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret | default (printf "%s-secrets" (include "entrepot.fullname" .root)) }}
      key: {{ .key }}
{{- end }}

{{- define "entrepot.variables" -}}
{{- $root := .root -}}
{{- with $root.Values -}}
- name: REGISTRY_NODE_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: REGISTRY_NODE_ROLE
  value: {{ $.role }}
{{- if eq $.role "jobs" }}
# Its probes have nothing else to ask.
- name: REGISTRY_HTTP_DEBUG_ADDR
  value: ":5001"
{{- end }}
{{- if or .harborAdminPassword .existingSecretAdminPassword }}
{{ include "entrepot.fromSecret" (dict "root" $root "variable" "ENTREPOT_ADMIN_PASSWORD" "secret" .existingSecretAdminPassword "key" (ternary .existingSecretAdminPasswordKey "HARBOR_ADMIN_PASSWORD" (not (empty .existingSecretAdminPassword)))) }}
{{- end }}
{{- if or .database.external.password .database.external.existingSecret }}
{{ include "entrepot.fromSecret" (dict "root" $root "variable" "REGISTRY_DATABASE_PASSWORD" "secret" .database.external.existingSecret "key" "password") }}
{{- end }}
{{- if and (eq .redis.type "external") (or .redis.external.password .redis.external.existingSecret) }}
{{ include "entrepot.fromSecret" (dict "root" $root "variable" "REGISTRY_REDIS_PASSWORD" "secret" .redis.external.existingSecret "key" "REDIS_PASSWORD") }}
{{- end }}
{{- if or .secretKey .existingSecretSecretKey }}
- name: ENTREPOT_SECRET_KEY_FILE
  value: /run/secrets/entrepot/secretKey
{{- end }}
{{- with $.part.extraEnvVars }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* A Deployment; `component` is what it is called, `role` what its pods do, `part` its values. */}}
{{- define "entrepot.deployment" -}}
{{- $root := .root -}}{{- $part := .part -}}{{- $component := .component -}}
{{- $selector := printf "%s\napp.kubernetes.io/component: %s" (include "entrepot.selector" $root) $component -}}
{{- $answers := ne .role "jobs" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "entrepot.fullname" $root }}-{{ $component }}
  labels:
    {{- include "entrepot.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $component }}
spec:
  {{- if not (and $answers $root.Values.registry.autoscaling.enabled) }}
  replicas: {{ $part.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- $selector | nindent 6 }}
  strategy:
    {{- if and (include "entrepot.external" $root) (eq $root.Values.updateStrategy.type "RollingUpdate") }}
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
    {{- else }}
    # SQLite has one host: a second pod, on another one, would be refused.
    type: Recreate
    {{- end }}
  template:
    metadata:
      labels:
        {{- $selector | nindent 8 }}
        {{- with $part.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      annotations:
        checksum/config: {{ include "entrepot.config" $root | sha256sum }}
        checksum/secrets: {{ include "entrepot.secrets" $root | sha256sum }}
        {{- with $part.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      serviceAccountName: {{ include "entrepot.serviceAccount" $root }}
      automountServiceAccountToken: false
      # A service of the name `registry` would set REGISTRY_PORT and its like, which are no settings of ours.
      enableServiceLinks: false
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets: {{ toYaml . | nindent 8 }}
      {{- end }}
      securityContext: {{ toYaml $root.Values.podSecurityContext | nindent 8 }}
      # The delay, then the requests under way, then a moment.
      terminationGracePeriodSeconds: {{ add $root.Values.drain.delay $root.Values.drain.timeout 10 }}
      {{- with $part.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $part.nodeSelector }}
      nodeSelector: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $part.tolerations }}
      tolerations: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $part.affinity }}
      affinity: {{ toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- if $part.topologySpreadConstraints }}
        {{- toYaml $part.topologySpreadConstraints | nindent 8 }}
        {{- else }}
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- $selector | nindent 14 }}
        {{- end }}
        {{- end }}
      containers:
        - name: entrepot
          image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [/etc/entrepot/config.yml]
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          env:
            {{- include "entrepot.variables" . | nindent 12 }}
          {{- with $root.Values.persistence.imageChartStorage.existingSecret }}
          envFrom:
            - secretRef: {name: {{ . }}}
          {{- end }}
          ports:
            {{- if $answers }}
            - {name: http, containerPort: 5000}
            {{- end }}
            {{- if or (not $answers) $root.Values.metrics.enabled }}
            - {name: debug, containerPort: 5001}
            {{- end }}
          startupProbe:
            httpGet: {path: /healthz, port: {{ $answers | ternary "http" "debug" }}}
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /healthz, port: {{ $answers | ternary "http" "debug" }}}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: {{ $answers | ternary "/readyz" "/debug/health" }}, port: {{ $answers | ternary "http" "debug" }}}
            periodSeconds: 2
            timeoutSeconds: 4
            failureThreshold: 2
          resources: {{ toYaml $part.resources | nindent 12 }}
          volumeMounts:
            - {name: config, mountPath: /etc/entrepot/config.yml, subPath: config.yml, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            {{- if include "entrepot.volume" $root }}
            - {name: data, mountPath: /var/lib/registry}
            {{- end }}
            {{- if or $root.Values.secretKey $root.Values.existingSecretSecretKey }}
            - {name: secret-key, mountPath: /run/secrets/entrepot, readOnly: true}
            {{- end }}
      volumes:
        - name: config
          configMap: {name: {{ include "entrepot.fullname" $root }}}
        - name: tmp
          emptyDir: {}
        {{- if include "entrepot.volume" $root }}
        - name: data
          {{- if $root.Values.persistence.enabled }}
          persistentVolumeClaim: {claimName: {{ include "entrepot.claim" $root }}}
          {{- else }}
          emptyDir: {}
          {{- end }}
        {{- end }}
        {{- if or $root.Values.secretKey $root.Values.existingSecretSecretKey }}
        - name: secret-key
          secret:
            secretName: {{ $root.Values.existingSecretSecretKey | default (printf "%s-secrets" (include "entrepot.fullname" $root)) }}
            items: [{key: secretKey, path: secretKey}]
            # A key that others of the machine could read is refused; the group is fsGroup.
            defaultMode: 0440
        {{- end }}
{{- end }}
