"""What is given away beside the image and the chart: the kubectl plugin for Krew, the bundle for OperatorHub."""
