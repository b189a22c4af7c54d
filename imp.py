import sys
h=lambda: next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmRSS"))/1024
print("bare",h())
for m in ("numpy","pandas","pyarrow","pyarrow.parquet","joblib","matplotlib.figure","reports.figures.draw","matplotlib.backends.backend_pdf","fontTools.subset","reports.report"):
    __import__(m); print(m,round(h()), [x for x in ("scipy","scipy.stats","sklearn","torch","pyarrow","PIL","yaml") if x in sys.modules])
