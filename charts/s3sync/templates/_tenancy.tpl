{{/* The controller's flags for tenancy, a line each. A list that is empty is given as such: it allows nothing. */}}
{{- define "s3sync.tenancy.args" -}}
{{- $tenancy := .Values.tenancy -}}
{{- if $tenancy.lockdown }}
- --lockdown
{{- end }}
{{- $lists := dict "allowed-service-account" "allowedServiceAccounts" "allowed-endpoint" "allowedEndpoints" "allowed-pod-label" "allowedPodLabels" "allowed-pod-annotation" "allowedPodAnnotations" "allowed-priority-class" "allowedPriorityClasses" }}
{{- range $flag, $value := $lists }}
{{- $list := get $tenancy $value }}
{{- if kindIs "slice" $list }}
{{- if not $list }}
- --{{ $flag }}=
{{- end }}
{{- range $list }}
- {{ printf "--%s=%s" $flag . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with $tenancy.workerEnv }}
- --worker-env={{ lower . }}
{{- end }}
{{- with $tenancy.maxReplicas }}
- --max-replicas={{ . | int64 }}
{{- end }}
{{- $amounts := dict "default-request" $tenancy.defaultRequests "default-limit" $tenancy.defaultLimits }}
{{- range $flag, $map := $amounts }}
{{- if kindIs "map" $map }}
{{- if not $map }}
- --{{ $flag }}=
{{- end }}
{{- range $name, $amount := $map }}
- {{ printf "--%s=%s=%s" $flag $name (toString $amount) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with $tenancy.defaultActiveDeadlineSeconds }}
- --default-active-deadline-seconds={{ . | int64 }}
{{- end }}
{{- if and (or (kindIs "slice" $tenancy.allowedEndpoints) $tenancy.lockdown) (eq (default (ternary "Plain" "All" $tenancy.lockdown) $tenancy.workerEnv) "All") }}
{{- fail "tenancy.allowedEndpoints needs tenancy.workerEnv Plain or None: AWS_ENDPOINT_URL and HTTPS_PROXY lead to other endpoints" }}
{{- end }}
{{- end -}}
