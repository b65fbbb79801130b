#!/usr/bin/env bash
# All figures of a GPU, in under six minutes and without a network; one JSON line for each figure.
#
#   VAE_DATA_DIR=folder/with/MNIST benchmarks/gpu.sh [--quick] [SECTION...]
#
# --quick: tiny sizes on the CPU, which tests every line here. The sections, all of them unless some are named: tests,
# train_kl, mnist, variants, inference, tiling; and, only where they are named, folder and reading. A section that fails or takes too long leaves the others alone. Wheels
# in .whl/ (diffusers, which the peers of train_kl and inference need) are unpacked and used.
cd "$(dirname "$0")/.." || exit 1
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
python=${PYTHON:-python3}
quick=
[ "$1" = --quick ] && { quick=--quick; shift; }
sections=${*:-tests train_kl mnist variants inference tiling}
begun=$SECONDS

if compgen -G ".whl/*.whl" >/dev/null; then
    wheels=$(mktemp -d)
    for wheel in .whl/*.whl; do "$python" -m zipfile -e "$wheel" "$wheels"; done
    PYTHONPATH="$PYTHONPATH:$wheels"
fi

# Lines of JSON, or one document of it, from a benchmark's output to a line for each number in it.
figures() {
    "$python" -u -c '
import json, sys
def walk(path, value):
    if isinstance(value, dict):
        name = [str(value[key]) for key in ("preset", "batch", "variant", "size", "tile", "step", "who") if isinstance(value.get(key), (str, int))]
        for key, inner in value.items():
            if not (name and key in ("preset", "batch", "variant", "size", "tile", "side", "who") or key == "step" and isinstance(inner, str)):
                walk([*path, *name, key], inner)
    elif isinstance(value, list):
        for inner in value:
            walk(path, inner)
    elif value is not None:
        print(json.dumps({"figure": " / ".join(path), "value": value}), flush=True)
held = ""
for line in sys.stdin:
    held += line
    try:
        found = json.loads(held)
    except ValueError:
        continue
    held = ""
    walk([sys.argv[1]], found)
if held.strip():
    print(held, file=sys.stderr)
' "$1"
}

# section SECONDS COMMAND...: its errors go to the log, the end of which is shown where it fails.
section() {
    local name=$1 limit=$2 log status start=$SECONDS
    shift 2
    log=$(mktemp)
    timeout "$limit" "$@" 2>"$log" | figures "$name"
    status=${PIPESTATUS[0]}
    echo "{\"figure\": \"$name / exit status\", \"value\": $status}"
    echo "{\"figure\": \"$name / section seconds\", \"value\": $((SECONDS - start))}"
    if [ "$status" != 0 ]; then tail -n 15 "$log" | cut -c1-1500; else grep -i -E "did not finish|slower without|warn" "$log" | head -n 5 | cut -c1-500; fi
    rm -f "$log"
}

"$python" -c '
import json, torch
cuda = torch.cuda.is_available()
import importlib.util as u
print(json.dumps({"figure": "torch", "value": torch.__version__}))
print(json.dumps({"figure": "device", "value": torch.cuda.get_device_name() if cuda else "cpu"}))
print(json.dumps({"figure": "modules missing", "value": [m for m in ("triton", "diffusers", "accelerate", "sklearn", "pytest", "typer") if not u.find_spec(m)]}))
'

device=cuda
[ -n "$quick" ] && device=cpu
for each in $sections; do
    case $each in
        tests)
            echo "{\"figure\": \"tests\", \"value\": \"see below\"}"
            timeout 120 "$python" -m pytest -v --no-header -p no:cacheprovider -k "captured_training or gpu or capture_fails" \
                --tb=short tests/models/test_fused_residual.py tests/training/test_cuda_graph.py tests/test_on_a_gpu.py \
                2>&1 | tail -n 120 | cut -c1-600
            ;;
        train_kl)
            everybody=(ours diffusers "diffusers compiled" "ours compiled")
            [ -n "$quick" ] && everybody=(ours diffusers) # on a CPU the compiler takes minutes
            section train_kl 240 "$python" benchmarks/train_kl.py $quick --lines --steps 5 --turns 6 --only "${everybody[@]}"
            ;;
        mnist)
            if [ -n "$quick" ]; then
                section mnist 200 "$python" benchmarks/train_mnist.py --quick --json
            else
                section mnist 120 "$python" benchmarks/train_mnist.py --device cuda --known-loss 28.3 --peer-epochs 3 --epochs 8 --json
            fi
            ;;
        variants) section variants 120 "$python" benchmarks/variants.py $quick ;;
        inference)
            sizes="512 1024 2048"
            [ -n "$quick" ] && sizes=64
            section inference 120 "$python" benchmarks/reconstruct.py $quick --device $device --sizes $sizes --pairs 3 --json \
                --only "diffusers bf16" "ours bf16"
            ;;
        tiling)
            if [ -n "$quick" ]; then
                section tiling-whole 60 "$python" benchmarks/tiles.py --quick --sizes 256 --tile 0 --json
                section tiling 60 "$python" benchmarks/tiles.py --quick --sizes 256 --tile 128 --json
            else
                section tiling-whole 60 "$python" benchmarks/tiles.py --device cuda --sizes 4096 --tile 0 --json
                section tiling 60 "$python" benchmarks/tiles.py --device cuda --sizes 4096 --json
            fi
            ;;
        folder)
            photographs=(--device cuda --model sd --side 512 --images 192 --json)
            [ -n "$quick" ] && photographs=(--quick --json)
            section folder 60 "$python" benchmarks/folder.py "${photographs[@]}"
            ;;
        reading)
            training=(--device cuda --train sd --seconds 5 --json)
            [ -n "$quick" ] && training=(--quick --json)
            section reading 90 "$python" benchmarks/reading.py "${training[@]}"
            ;;
        *) echo "There is no section $each." >&2 ;;
    esac
done
echo "{\"figure\": \"all seconds\", \"value\": $((SECONDS - begun))}"
