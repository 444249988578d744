// Judge says what GitOps tools make of objects: kstatus by its own library, Flux by the engine that Flux uses.
//
// Its argument is the `healthCheckExprs` of a Flux Kustomization, as JSON. It reads objects from stdin, one JSON
// document after the other, and writes a verdict for each.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// check is one entry of healthCheckExprs; its rules are those of Flux's RFC 0009.
type check struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
	Current    string `json:"current"`
}

type verdict struct {
	Kstatus string `json:"kstatus"`
	Message string `json:"message"`
	// Flux is empty where an expression has no answer: Flux waits, as it does on InProgress.
	Flux  string `json:"flux"`
	Error string `json:"error,omitempty"`
}

func main() {
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(exprs string, in io.Reader, out io.Writer) error {
	var checks []check
	if err := json.Unmarshal([]byte(exprs), &checks); err != nil {
		return err
	}
	given, told := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var raw json.RawMessage
		if err := given.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		// Not by encoding/json alone: generations must be integers.
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			return err
		}
		said, err := judge(object, checks)
		if err != nil {
			return err
		}
		if err := told.Encode(said); err != nil {
			return err
		}
	}
}

func judge(object *unstructured.Unstructured, checks []check) (*verdict, error) {
	result, err := status.Compute(object)
	if err != nil {
		return nil, err
	}
	said := &verdict{Kstatus: result.Status.String(), Message: result.Message}
	for _, one := range checks {
		if one.APIVersion == object.GetAPIVersion() && one.Kind == object.GetKind() {
			said.Flux, err = one.evaluate(object)
			if err != nil {
				said.Error = err.Error()
			}
			return said, nil
		}
	}
	return nil, fmt.Errorf("no health check for %s", object.GetKind())
}

// evaluate looks at the generation first, then asks in this order; nothing that is true means InProgress.
func (one check) evaluate(object *unstructured.Unstructured) (string, error) {
	observed, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if err != nil {
		return "", err
	}
	if found && observed != object.GetGeneration() {
		return status.InProgressStatus.String(), nil
	}
	for _, asked := range []struct {
		expr string
		says status.Status
	}{
		{one.InProgress, status.InProgressStatus},
		{one.Failed, status.FailedStatus},
		{one.Current, status.CurrentStatus},
	} {
		holds, err := evaluate(asked.expr, object.Object)
		if err != nil {
			return "", err
		}
		if holds {
			return asked.says.String(), nil
		}
	}
	return status.InProgressStatus.String(), nil
}

// evaluate takes the object's top-level fields as variables, parsed but not type-checked, as Flux does. The
// environment has nothing but CEL's standard definitions, which every environment has.
func evaluate(expr string, object map[string]any) (bool, error) {
	env, err := cel.NewEnv()
	if err != nil {
		return false, err
	}
	parsed, issues := env.Parse(expr)
	if issues.Err() != nil {
		return false, issues.Err()
	}
	program, err := env.Program(parsed)
	if err != nil {
		return false, err
	}
	value, _, err := program.Eval(object)
	if err != nil {
		return false, err
	}
	holds, ok := value.Value().(bool)
	if !ok {
		return false, fmt.Errorf("%q is not true or false", expr)
	}
	return holds, nil
}
