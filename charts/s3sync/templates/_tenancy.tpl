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

{{/* What a list allows, as the beginning of a regular expression; "none", or nothing where the list is not given and all is allowed. */}}
{{- define "s3sync.tenancy.allowed" -}}
{{- $list := .list -}}
{{- if and .lockdown (not (kindIs "slice" $list)) -}}{{- $list = .locked -}}{{- end -}}
{{- if kindIs "slice" $list -}}
{{- $parts := list -}}
{{- range $list -}}
{{- $parts = append $parts (regexReplaceAll "/+$" . "" | regexQuoteMeta | replace "\\*" "[^/]*" | replace "\\?" "[^/]") -}}
{{- end -}}
{{- if $parts -}}(?i)^(?:{{ join "|" $parts }}){{- else -}}none{{- end -}}
{{- end -}}
{{- end -}}

{{/* A field of spec.worker that a list allows: an expression, or nothing. */}}
{{- define "s3sync.tenancy.name" -}}
{{- with include "s3sync.tenancy.allowed" . -}}
!has(object.spec.worker) || !has(object.spec.worker.{{ $.field }}){{ if ne . "none" }} || object.spec.worker.{{ $.field }}.matches(r'{{ . }}$'){{ end }}
{{- end -}}
{{- end -}}

{{/* The keys of a map of spec.worker that a list allows. */}}
{{- define "s3sync.tenancy.keys" -}}
{{- with include "s3sync.tenancy.allowed" . -}}
!has(object.spec.worker) || !has(object.spec.worker.{{ $.field }}) || object.spec.worker.{{ $.field }}.all(key, {{ if eq . "none" }}false{{ else }}key.matches(r'{{ . }}$'){{ end }})
{{- end -}}
{{- end -}}

{{/* The endpoint of a side, or of an S3Connection. */}}
{{- define "s3sync.tenancy.endpoint" -}}
{{- with include "s3sync.tenancy.allowed" . -}}
{{- if eq . "none" -}}
false
{{- else -}}
(has(object.{{ $.field }}.endpoint) ? object.{{ $.field }}.endpoint : 'aws').matches(r'{{ . }}/*$')
{{- end -}}
{{- end -}}
{{- end -}}
