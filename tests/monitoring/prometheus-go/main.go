// Command terms says what PromQL expressions are made of: one JSON document for each line that it is given.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

type terms struct {
	Error     string     `json:"error"`
	Selectors []selector `json:"selectors"`
	// Labels by which series are grouped or joined.
	Labels []string `json:"labels"`
}

type selector struct {
	Metric   string    `json:"metric"`
	Matchers []matcher `json:"matchers"`
}

type matcher struct {
	Label string `json:"label"`
	Op    string `json:"op"`
	Value string `json:"value"`
}

func main() {
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := out.Encode(read(lines.Text())); err != nil {
			panic(err)
		}
	}
}

func read(text string) terms {
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return terms{Error: err.Error()}
	}
	var found terms
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		switch one := node.(type) {
		case *parser.VectorSelector:
			found.Selectors = append(found.Selectors, selected(one))
		case *parser.AggregateExpr:
			found.Labels = append(found.Labels, one.Grouping...)
		case *parser.BinaryExpr:
			if one.VectorMatching != nil {
				found.Labels = append(found.Labels, one.VectorMatching.MatchingLabels...)
				found.Labels = append(found.Labels, one.VectorMatching.Include...)
			}
		}
		return nil
	})
	return found
}

func selected(node *parser.VectorSelector) selector {
	found := selector{Metric: node.Name}
	for _, one := range node.LabelMatchers {
		if one.Name != labels.MetricName {
			found.Matchers = append(found.Matchers, matcher{one.Name, one.Type.String(), one.Value})
		}
	}
	return found
}
