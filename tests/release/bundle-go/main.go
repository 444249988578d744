// Says what the validators of the Operator Framework have against a bundle.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	interfaces "github.com/operator-framework/api/pkg/validation/interfaces"
)

type verdict struct {
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
}

func main() {
	found, err := judged(os.Args[1])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func judged(folder string) (verdict, error) {
	found := verdict{[]string{}, []string{}}
	bundle, err := manifests.GetBundleFromDir(folder)
	if err != nil {
		return found, err
	}
	validators := append(interfaces.Validators{}, validation.DefaultBundleValidators...)
	validators = append(validators, validation.OperatorHubValidator, validation.ObjectValidator)
	for _, result := range validators.Validate(bundle.ObjectsToValidate()...) {
		for _, one := range result.Errors {
			found.Errors = append(found.Errors, one.Error())
		}
		for _, one := range result.Warnings {
			found.Warnings = append(found.Warnings, one.Error())
		}
	}
	return found, nil
}
