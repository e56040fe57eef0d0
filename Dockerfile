FROM python:3.13-slim
WORKDIR /app

# Before the code, so that a change to the code reuses this layer.
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY app app
COPY static static
COPY templates templates
# Writable for group 0, because OpenShift runs images as an arbitrary user of that group.
RUN python -m compileall -q app && install -d -o 10001 -g 0 -m 770 instance

USER 10001
VOLUME /app/instance
EXPOSE 8000
# urllib.request would use the proxy of the environment.
HEALTHCHECK --start-period=30s --timeout=10s CMD ["python", "-c", \
    "import http.client as h; c = h.HTTPConnection('127.0.0.1:8000'); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"]
CMD ["flask", "serve", "--host", "0.0.0.0"]
