#!/usr/bin/env bash
# Rolls out an overlay: what pods need, then the migrations to their end, then the pods. Safe to repeat.
#
#     deploy/rollout.sh deploy/kubernetes/overlays/production
#
# Nothing new is started meanwhile, and runs under way get DRAIN_SECONDS (600) to end.
set -euo pipefail

overlay=${1:?name the folder of an overlay, e.g. deploy/kubernetes/overlays/production}
namespace=$(kubectl kustomize "$overlay" | sed -n 's/^  namespace: //p' | head -1)

stage() { kubectl apply --kustomize "$overlay" --selector "promptory/stage=$1"; }

stage foundation
for secret in promptory-stores promptory-providers; do
    kubectl --namespace "$namespace" get secret "$secret" >/dev/null ||
        { echo "Make the secret $secret in namespace $namespace first, see docs/deployment.md." >&2; exit 1; }
done

# A program refuses a schema that is not its own: nothing of the former image may start from here on.
daemon() { kubectl --namespace "$namespace" scale deployment/promptory-daemon --replicas="$1" 2>/dev/null || true; }
under_way() {
    kubectl --namespace "$namespace" get pods --output name --field-selector status.phase=Running \
        --selector app.kubernetes.io/component=run_worker
}
# Whatever ends this before the services are new leaves the former daemon at work, not none.
trap 'daemon 1' EXIT
# Untrapped, an interrupt that a command survives is forgotten.
trap 'exit 130' INT
trap 'exit 143' TERM
daemon 0
deadline=$((SECONDS + ${DRAIN_SECONDS:-600}))
while [ -n "$(under_way)" ]; do
    if [ $SECONDS -ge $deadline ]; then
        echo "Still under way: $(under_way | wc -l) runs. If the schema changes, they fail at their next asset;" \
            "run them again then, they go on where they stopped." >&2
        break
    fi
    sleep 5
done

# A Job cannot be changed, only made again.
kubectl --namespace "$namespace" delete job promptory-migration --ignore-not-found --wait
stage migration
kubectl --namespace "$namespace" wait job/promptory-migration --for=condition=complete --timeout=3600s &
waiting=$!
kubectl --namespace "$namespace" wait job/promptory-migration --for=condition=failed --timeout=3600s &
failing=$!
wait -n "$waiting" "$failing" || true
kill "$waiting" "$failing" 2>/dev/null || true
if [ "$(kubectl --namespace "$namespace" get job promptory-migration --output 'jsonpath={.status.succeeded}')" != 1 ]; then
    kubectl --namespace "$namespace" logs job/promptory-migration --tail=50 >&2 || true
    echo "The migration did not succeed; the pods at work were left as they are." >&2
    exit 1
fi

trap - EXIT
stage services
# A changed ConfigMap alone starts no pod anew.
kubectl --namespace "$namespace" rollout restart deployment/promptory-code deployment/promptory-web deployment/promptory-daemon
for name in promptory-code promptory-web promptory-daemon; do
    kubectl --namespace "$namespace" rollout status "deployment/$name" --timeout=600s
done
