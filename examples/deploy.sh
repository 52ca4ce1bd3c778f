#!/bin/sh
# What deployment_workflow calls: it only notes what it would do.
echo "deploy $*" >> deployments.log
